"""Kinds of channels in the contract: what a change of them breaks."""

from typing import Any

from courier.schemas import ChannelKind, Registry
from courier.schemas.contract import compare, json_schema
from courier.schemas.contract.bundle import KINDS
from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import default_registry


def contract(*kinds: ChannelKind) -> Schema:
    return json_schema(Registry(default_registry().models.values(), kinds))


def order(**changed: Any) -> ChannelKind:
    return ChannelKind("order", **({"join": "owner"} | changed))


def told(old: Schema, new: Schema) -> dict[str, tuple[str, ...]]:
    return {str(change): change.breaks for change in compare(old, new)}


BOTH = ("publishers", "subscribers")


def test_a_new_kind_is_safe_and_one_that_is_gone_breaks_both() -> None:
    assert told(contract(), contract(order())) == {"channels order: the kind is new": ()}
    assert told(contract(order()), contract()) == {"channels order: the kind is gone": BOTH}


def test_another_number_of_segments_breaks_both() -> None:
    what = "channels order: an id has 2 segments, and had 1"
    assert told(contract(order()), contract(order(id_segments=2))) == {what: BOTH}


def test_events_that_are_not_taken_any_more_break_and_those_that_are_taken_now_do_not() -> None:
    fewer = contract(
        order(events=["backtest.*", "prophet.*", "trade.*", "strategy.*", "position.*", "forge.*"])
    )
    gone = told(contract(order()), fewer)
    assert gone.pop("channels order: system.announcement may not be published any more") == BOTH
    assert set(gone.values()) == {BOTH}
    assert len(gone) == 2
    assert set(told(fewer, contract(order())).values()) == {()}


def test_a_service_that_may_not_publish_any_more_is_broken_and_subscribers_are_not() -> None:
    some = contract(order(publishers=["shop", "ware*"]))
    not_all = ("publishers",)
    assert told(contract(order()), some) == {
        "channels order: services * may not all publish any more": not_all,
    }
    fewer = contract(order(publishers=["shop", "warehouse"]))
    assert told(some, fewer) == {"channels order: services ware* may not all publish any more": not_all}
    assert told(fewer, some) == {"channels order: services ware* may publish": ()}


def test_a_contract_that_is_older_than_kinds_can_still_be_compared() -> None:
    old = {key: value for key, value in contract().items() if key != KINDS}
    assert told(old, contract(order())) == {}
