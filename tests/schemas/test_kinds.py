"""Kinds of channels: what may be declared, and which names they then have."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.schemas import ChannelKind, ChannelName, Kinds, RegistryError, UnknownChannelError, registry_for
from courier.schemas.channels import SEGMENT_PATTERN
from courier.schemas.history import Kept, declared

SEGMENTS = st.from_regex(rf"\A{SEGMENT_PATTERN}\Z")


def kind(name: str, **changed: Any) -> ChannelKind:
    return ChannelKind(name, **{"join": "everyone"} | changed)


def test_a_declared_kind_has_the_names_that_it_says() -> None:
    kinds = Kinds([kind("order"), kind("tenant", id_segments=2), kind("news", id_segments=0)])
    assert kinds.names == ("global", "user", "order", "tenant", "news")
    assert kinds.parse("order.7") == ChannelName("order.7", "order", "7")
    assert kinds.parse("tenant.7.alice").ids == ("7", "alice")
    assert kinds.parse("news") == ChannelName("news", "news", None)
    assert kinds.parse("news").ids == ()
    for other in (
        "order",
        "order.",
        "order.7.8",
        "tenant.7",
        "tenant.7.a.b",
        "news.1",
        "tenant..a",
        "Order.7",
    ):
        with pytest.raises(UnknownChannelError):
            kinds.parse(other)


def test_a_name_has_at_most_255_characters() -> None:
    kinds = Kinds([kind("tenant", id_segments=2)])
    whole = "tenant." + "a" * 128 + "." + "b" * (255 - 7 - 129)
    assert kinds.parse(whole).name == whole
    with pytest.raises(UnknownChannelError):
        kinds.parse(whole + "b")


@given(st.integers(0, 4), st.lists(SEGMENTS, max_size=5))
def test_a_name_has_exactly_as_many_segments_as_its_kind(segments: int, ids: list[str]) -> None:
    kinds, name = Kinds([kind("thing", id_segments=segments)]), ".".join(["thing", *ids])
    if len(ids) == segments and len(name) <= 255:
        assert kinds.parse(name).ids == tuple(ids)
        assert re.fullmatch(kinds.pattern, name)
    else:
        with pytest.raises(UnknownChannelError):
            kinds.parse(name)


def test_an_unknown_channel_is_told_which_kinds_there_are() -> None:
    with pytest.raises(
        UnknownChannelError, match=r"expected global, user\.<id> or tenant\.<id>\.<id>, where <id>"
    ):
        Kinds([kind("tenant", id_segments=2)]).parse("topic.1")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: kind("Order"),
            "tests.schemas.test_kinds: ChannelKind 'Order' has no usable name: expected words",
        ),
        (lambda: kind("x" * 65), "has no usable name"),
        (lambda: kind("a..b"), "has no usable name"),
        (lambda: kind(""), "has no usable name"),
        (lambda: kind("batch"), "has a name that Courier needs"),
        (lambda: kind("user.prefs"), "has a name that Courier needs"),
        (lambda: kind("courier.news"), "has a name that Courier needs"),
        (lambda: kind("order", id_segments=5), "has id_segments=5: expected a whole number from 0 to 4"),
        (lambda: kind("order", id_segments=True), "has id_segments=True"),
        (
            lambda: kind("order", join="anybody"),
            "has join='anybody': expected one of everyone",
        ),
        (lambda: kind("order", join=None), "has join=None"),
        (lambda: kind("news", id_segments=0, join="owner"), "has join='owner', and no id"),
        (lambda: kind("order", events="acme.*"), "has events='acme.*': expected a list of names"),
        (lambda: kind("order", events=["acme.*_shipped"]), "has events="),
        (lambda: kind("order", publishers=["The Shop"]), "has publishers="),
        (lambda: kind("order", history_events=0), "has history_events=0: expected a number above 0"),
        (lambda: kind("order", history_seconds=-1), "has history_seconds=-1"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused_in_one_sentence(
    make: Callable[[], ChannelKind], sentence: str
) -> None:
    with pytest.raises(RegistryError) as refusal:
        make()
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_async_rule_is_refused_however_it_is_written() -> None:
    async def rule(claims: Any, channel: Any) -> bool:
        return True

    class Rule:
        async def __call__(self, claims: Any, channel: Any) -> bool:
            return True

    for each in (rule, Rule()):
        with pytest.raises(RegistryError, match="has an async rule"):
            kind("order", join=each)


@pytest.mark.parametrize(
    ("one", "two", "overlap"),
    [
        (kind("a"), kind("a.b", id_segments=0), True),
        (kind("a", id_segments=2), kind("a.b"), True),
        (kind("a"), kind("a.b"), False),
        (kind("a", id_segments=2), kind("a.b", id_segments=0), False),
        (kind("ab"), kind("a"), False),
        (kind("forge", id_segments=3), kind("forge.job", id_segments=2), True),
    ],
)
def test_two_kinds_that_could_have_one_channel_are_refused(
    one: ChannelKind, two: ChannelKind, overlap: bool
) -> None:
    for both in ([one, two], [two, one]):
        if overlap:
            with pytest.raises(RegistryError, match="could have a channel of the same name"):
                Kinds(both)
        else:
            assert len(Kinds(both)) == 4


def test_two_kinds_of_one_name_and_one_that_every_node_has_are_refused() -> None:
    with pytest.raises(
        RegistryError,
        match=r"test_kinds: ChannelKind 'order' needs another name: tests\.schemas\.test_kinds has one",
    ):
        Kinds([kind("order"), kind("order")])
    for name in ("user", "global"):
        with pytest.raises(RegistryError, match=f"'{name}' needs another name: every node has one"):
            Kinds([kind(name)])


def test_events_and_services_are_exact_or_a_prefix() -> None:
    order = kind("order", events=["acme.order_*", "acme.note"], publishers=["shop"])
    assert order.takes("acme.order_shipped")
    assert order.takes("acme.note")
    assert not order.takes("acme.notes")
    assert not order.takes("acme.order")
    assert order.hears("shop")
    assert not order.hears("shop2")
    assert not kind("closed", events=[]).takes("acme.note")


def test_what_a_kind_keeps_counts_before_what_the_settings_say() -> None:
    kinds = Kinds([kind("order", history_seconds=86_400), kind("tick", history_events=10), kind("other")])
    assert declared(kinds, 1000, 60) == {"order": Kept(1000, 86_400), "tick": Kept(10, 60)}


def test_a_module_without_lumiere_leaves_three_events_and_two_kinds() -> None:
    registry = registry_for([])
    assert registry.kinds.names == ("global", "user")
    assert len(registry.types) == 3
    assert all(each.startswith("system.") for each in registry.types)
