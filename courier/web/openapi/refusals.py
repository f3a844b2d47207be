"""Refusals: every way in which a request can fail, as what fails raises it, so that no example is made up."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from courier.actors.errors import ChannelFailed, Draining, NodeFull, TooManyChannels
from courier.backplane import BackplaneAway, BackplaneRefused, DiskRefused, InboxFull, KeyConflict
from courier.schemas.batch import BATCH_EVENTS, cut_batch
from courier.schemas.channels import ChannelKind
from courier.schemas.registry import Registry
from courier.settings import load_settings
from courier.web.admin.channels import EVENTS, LARGEST_EVENTS, not_running, read_position
from courier.web.admin.gate import Gate, Visit, check_origin
from courier.web.admin.listing import LONGEST_SEARCH, number, parse_query
from courier.web.admin.overview import LATEST
from courier.web.auth import (
    ClaimInvalid,
    KeysUnavailable,
    Publisher,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from courier.web.body import too_large, too_slow
from courier.web.caller import Caller
from courier.web.errors import another_method, http_answer, nothing_here
from courier.web.events.request import channels_of, starts_of
from courier.web.exchange import Asked
from courier.web.history.request import Wanted, read_before, read_limit, read_order, read_wait
from courier.web.publishing.batch import BATCH_BYTES, check_rate
from courier.web.publishing.judge import (
    JSON,
    check_key,
    check_kind,
    check_media_type,
    check_publisher,
    check_service,
    check_source,
    too_many,
)
from courier.web.rate_limit import Verdict
from courier.web.reader import access_unknown, forbidden, read_since, unauthorized
from courier.web.readers import too_many_of_node, too_many_of_user

RESET_AT = "2026-01-31T12:00:13.000Z"
_OVER = Verdict(admitted=False, limit=100, remaining=0, reset_seconds=12.5, window_seconds=60)
_CALLER = Caller("shop", None, JSON)

_NO_EVENTS = ChannelKind("order", join="owner", events=[])
_NO_PUBLISHERS = ChannelKind("order", join="owner", publishers=[])

Refusals = dict[str, Exception]
"""What may be refused, by a name for it."""


class Example(NamedTuple):
    """One refusal as its caller gets it."""

    name: str
    status: int
    body: dict[str, Any]


def examples(refusals: Refusals) -> list[Example]:
    """The answers of the one table of errors."""
    found = []
    for name, error in refusals.items():
        answer = http_answer(error)
        facts = dict(answer.facts)
        if "reset_at" in facts:
            facts["reset_at"] = RESET_AT  # which else would be another one each time
        found.append(Example(name, answer.status, {"detail": {"error": answer.error, **facts}}))
    return found


def publish_refusals(registry: Registry, event: dict[str, Any]) -> Refusals:
    """Of one event, in the order in which it is judged."""
    return {
        **_of_the_request(65_536),
        "rate": too_many(_OVER),
        "media_type": _raised(lambda: check_media_type(Caller("shop", None, "text/plain"), JSON)),
        "not_json": _raised(lambda: registry.parse(b'{"type": ')),
        "not_an_object": _raised(lambda: registry.parse(b"[]")),
        "channel": _unknown_channel(registry),
        "schema": _schema(registry, event),
        "source": _source(registry, event),
        "event_type": _raised(
            lambda: check_kind(_NO_EVENTS, registry.parse(json.dumps(event).encode()), "shop")
        ),
        "publisher": _raised(
            lambda: check_kind(_NO_PUBLISHERS, registry.parse(json.dumps(event).encode()), "shop")
        ),
        "key": _key(),
        "key_conflict": KeyConflict(),
        **_of_the_log(),
    }


def batch_refusals(registry: Registry) -> Refusals:
    """Of a batch as a whole."""
    return {
        **_of_the_request(BATCH_BYTES),
        "media_type": _raised(lambda: check_media_type(Caller("shop", None, "text/plain"), JSON)),
        "not_json": _raised(lambda: list(cut_batch(b'{"events": [', []))),
        "not_a_batch": _raised(lambda: list(cut_batch(b'{"event": []}', []))),
        "too_many_events": _raised(
            lambda: list(cut_batch(b'{"events": [%b0]}' % (b"0," * BATCH_EVENTS), []))
        ),
        "rate": too_many(_OVER),
        "rate_never": _raised(lambda: check_rate(_OVER, _OVER.limit + 1)),
        "key": _key(),
    }


def history_refusals(registry: Registry) -> Refusals:
    """Of a stretch of history, in the order in which it is judged."""
    return {
        "draining": Draining(),
        "token_missing": unauthorized(TokenMissing()),
        "token_invalid": unauthorized(TokenInvalid()),
        "claim_invalid": unauthorized(ClaimInvalid("claim exp is missing")),
        "token_expired": unauthorized(TokenExpired("claim exp is 35 s in the past")),
        "keys_unavailable": KeysUnavailable(),
        "channel": _unknown_channel(registry),
        "access": forbidden(),
        "access_unknown": access_unknown(),
        "since": _raised(lambda: read_since("yesterday")),
        "limit": _raised(lambda: read_limit("ten")),
        "order": _raised(lambda: read_order("newest")),
        "before": _raised(lambda: read_before("yesterday")),
        "wait": _raised(lambda: read_wait("61")),
        "before_alone": _raised(lambda: Wanted.of({"before": "k3v9x0qa-42"})),
        "since_desc": _raised(lambda: Wanted.of({"since": "k3v9x0qa-42", "order": "desc"})),
        "wait_desc": _raised(lambda: Wanted.of({"wait": "1", "order": "desc"})),
        "too_many_of_user": too_many_of_user(),
        "too_many_of_node": too_many_of_node(),
        "redis_unreachable": BackplaneAway(),
        "redis_refused": BackplaneRefused("the read: NOPERM"),
        "disk_refused": DiskRefused("file is damaged"),
        "too_many_channels": TooManyChannels(),
    }


def stream_refusals(registry: Registry) -> Refusals:
    """Of an event stream."""
    both, starts = ("user.alice", "global"), partial(_asked, "/events")
    return {
        **{name: error for name, error in history_refusals(registry).items() if name in _OF_READERS},
        "channels": _raised(lambda: channels_of(_asked("/events", ""))),
        "channel_twice": _raised(lambda: channels_of(_asked("/events", "channel=global&channel=global"))),
        "path_and_query": _raised(lambda: channels_of(_asked("/events/global", "channel=global"))),
        "since_of_several": _raised(lambda: starts_of(starts("since=k3v9x0qa-42"), both)),
        "last_event_id": _raised(lambda: starts_of(starts("", "yesterday"), ("global",))),
        "last_event_ids": _raised(lambda: starts_of(starts("", "yesterday"), both)),
        "node_full": NodeFull(),
    }


_OF_READERS = {
    "draining",
    "token_missing",
    "token_invalid",
    "claim_invalid",
    "token_expired",
    "keys_unavailable",
    "channel",
    "access",
    "access_unknown",
    "since",
    "redis_unreachable",
    "redis_refused",
    "disk_refused",
    "too_many_channels",
}


def _asked(path: str, query: str, last_event_id: str | None = None) -> Asked:
    return Asked.of(path, query, {"last-event-id": last_event_id}.get)


def admin_refusals() -> Refusals:
    """Of requests for operators' data by others."""
    stranger = Visit("GET", "192.0.2.1", {}, None)
    open_node, closed_node = load_settings({}), load_settings({}, admin_token="admin-token")  # noqa: S106
    return {
        "token_missing": _raised(lambda: Gate(closed_node).admit(stranger)),
        "other_machine": _raised(lambda: Gate(open_node).admit(stranger)),
        "hidden": nothing_here(),
    }


def admin_action_refusals() -> Refusals:
    """Of what changes something, which no other site's page may ask for."""
    visit = Visit("POST", "127.0.0.1", {"host": "localhost", "origin": "https://other.example"}, None)
    return {**admin_refusals(), "other_site": _raised(lambda: check_origin(visit, required=False))}


def redis_refusals() -> Refusals:
    """Of what asks Redis, or needs what is there."""
    return {"redis_unreachable": BackplaneAway()}


def listing_refusals(columns: Iterable[str]) -> Refusals:
    """Of a page of rows that have these columns."""

    def asked(**given: str) -> Exception:
        return _raised(lambda: parse_query(given, columns))

    return {
        **admin_refusals(),
        "sort": asked(sort="colour"),
        "order": asked(order="up"),
        "search": asked(search="x" * (LONGEST_SEARCH + 1)),
        "limit": asked(limit="0"),
        "offset": asked(offset="-1"),
    }


def overview_refusals() -> Refusals:
    """Of the node as a whole."""
    return {
        **admin_refusals(),
        "since": _raised(lambda: number({"since": "x"}, "since", 0, least=0, most=LATEST)),
    }


def opened_channel_refusals(registry: Registry, columns: Iterable[str]) -> Refusals:
    """Of one channel with a page of its subscribers."""
    return {
        **listing_refusals(columns),
        "events": _raised(lambda: number({"events": "0"}, "events", EVENTS, least=1, most=LARGEST_EVENTS)),
        "since": _raised(lambda: read_position("yesterday")),
        "channel": _unknown_channel(registry),
        "not_running": not_running(),
    }


def admin_publish_refusals(registry: Registry, event: dict[str, Any]) -> Refusals:
    """Of a test event: no service's token is asked for, and no idempotency key is read."""
    left_out = {"service_missing", "keys_unavailable", "other_service", "key", "key_conflict"}
    left_out |= {"token_missing", "token_invalid", "claim_invalid", "token_expired"}
    of_a_publish = publish_refusals(registry, event).items()
    return {
        **admin_action_refusals(),
        **{name: error for name, error in of_a_publish if name not in left_out},
    }


def anywhere() -> Refusals:
    """Of what is none of ours."""
    return {"nothing_here": nothing_here(), "another_method": another_method()}


def _of_the_request(limit_bytes: int) -> Refusals:
    return {
        "draining": Draining(),
        "too_large": too_large(limit_bytes),
        "too_slow": too_slow(),
        "service_missing": _raised(lambda: check_service(Caller(None, None, JSON))),
        "service_name": _raised(lambda: check_service(Caller("The Shop", None, JSON))),
        "token_missing": TokenMissing(),
        "token_invalid": TokenInvalid(),
        "claim_invalid": ClaimInvalid("claim service is missing"),
        "token_expired": TokenExpired("claim exp is 35 s in the past"),
        "keys_unavailable": KeysUnavailable(),
        "other_service": _raised(lambda: check_publisher(Publisher("bank"), "shop")),
    }


def _of_the_log() -> Refusals:
    return {
        "redis_unreachable": BackplaneAway(),
        "redis_refused": BackplaneRefused("the write: OOM"),
        "disk_refused": DiskRefused("disk is full"),
        "too_many_channels": TooManyChannels(),
        "inbox_full": InboxFull(),
        "channel_failed": ChannelFailed(),
    }


def _unknown_channel(registry: Registry) -> Exception:
    return _raised(lambda: registry.kinds.parse("users.alice"))


def _schema(registry: Registry, event: dict[str, Any]) -> Exception:
    return _raised(lambda: registry.parse(json.dumps({**event, "unknown_field": 1}).encode()))


def _source(registry: Registry, event: dict[str, Any]) -> Exception:
    return _raised(lambda: check_source(registry.parse(json.dumps(event).encode()), "bank"))


def _key() -> Exception:
    return _raised(lambda: check_key(_CALLER._replace(idempotency_key="not a key")))


def _raised(refuse: Callable[[], object]) -> Exception:
    """What it raises."""
    try:
        refuse()
    except Exception as error:  # noqa: BLE001 - whatever a caller would get
        return error
    raise AssertionError("nothing was refused")
