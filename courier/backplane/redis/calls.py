"""Calls: what callers asked as calls of scripts, and what the scripts answer as what callers get."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from time import time
from typing import Any, TypeAlias, assert_never

from courier.backplane import Appended, BackplaneAway, KeyConflict, Origin, Outcome, Record, Stretch
from courier.backplane.admission import Admission
from courier.backplane.known import Known
from courier.backplane.redis.options import RedisOptions
from courier.backplane.redis.requests import (
    Admit,
    Began,
    Behind,
    Follow,
    Publish,
    Read,
    Request,
    Revoke,
    Seen,
)
from courier.backplane.redis.scripts import BEGAN, FOLLOW, PUBLISH, READ, REVOKE, WINDOW, Script
from courier.redis_url import RedisKind, RedisUrl
from courier.schemas.channels import ChannelName
from courier.schemas.control import GapReason
from courier.schemas.position import UNBORN, Moment, Position, new_epoch

CALL_SECONDS = 15
"""How long a publish call's answer waits for the call to be repeated; that takes a few seconds at most."""
KEY_SECONDS = 300
READ_BYTES = 4 * 1024 * 1024
"""What one page may weigh, so that a reader far behind cannot fill the node."""

REVOCATIONS = "courier:{revocations}"
"""How the key and the feed of revocations begin; no channel has such a name."""

_MICROSECONDS = 1_000_000

Argument: TypeAlias = str | bytes | int


@dataclass(slots=True, eq=False)
class Call:
    """One call of a script, for one request or for several."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]
    requests: Sequence[Request]
    settle: Callable[[Any], None]
    """Give the requests their replies, by the script's answer."""
    repeatable: bool = True
    """Whether it may be sent again when it is not known what became of it."""
    sent: int = 0

    def fail(self, error: BackplaneAway) -> None:
        """Make each request's caller raise such an error."""
        for request in self.requests:
            request.reply.fail(type(error)(*error.args))


class Calls:
    """Makes the calls of one node; `node` is a name that no other node has.

    Each call says how far the node has seen its channel's log go, and each answer is remembered in `known`.
    """

    def __init__(self, url: RedisUrl, options: RedisOptions, node: str, known: Known) -> None:
        self._options = options
        self._known = known
        self._node = node
        self._database = url.database
        self._publish_verb = "SPUBLISH" if url.kind is RedisKind.CLUSTER else "PUBLISH"
        self._numbers = count(1)

    def feed_of(self, channel: ChannelName) -> str:
        """Where the channel's events are published. Pub/sub has no databases, so the name has it."""
        return f"courier:{{{channel}}}:feed:{self._database}"

    def make(self, requests: Sequence[Request]) -> Call:
        """One call for requests with one subject."""
        match requests[0]:
            case Publish():
                return self._publish([request for request in requests if isinstance(request, Publish)])
            case Admit():
                return self._admit([request for request in requests if isinstance(request, Admit)])
            case Follow() as request:
                return self._follow(request)
            case Read() as request:
                return self._read(request)
            case Began():
                return self._began([request for request in requests if isinstance(request, Began)])
            case Revoke() as request:
                return self._revoke(request)
            case _ as never:
                assert_never(never)

    def _revoke(self, request: Revoke) -> Call:
        arguments: list[Argument] = [int(time()), self._publish_verb, self.revocations_feed, request.seen]
        arguments.append(len(request.entries))
        for entry in request.entries:
            arguments += (entry.expires_at, entry.to_json())
        arguments += request.words

        def settle(answer: Sequence[Any]) -> None:
            last, whole, *texts = answer
            request.reply.give(Seen(last.decode(), whole == 1, texts))

        return Call(REVOKE, [f"{REVOCATIONS}:log"], arguments, [request], settle)

    @property
    def revocations_feed(self) -> str:
        """Where all nodes hear of revocations."""
        return f"{REVOCATIONS}:feed:{self._database}"

    def _channel(self, channel: ChannelName) -> tuple[list[str], list[Argument]]:
        """The keys and arguments that `channel.lua` takes. One hash tag: a cluster keeps them together."""
        tagged = f"courier:{{{channel}}}"
        return [f"{tagged}:where", f"{tagged}:log"], [
            " ".join(map(str, self._known.of(channel.name))),
            new_epoch(),
            self._options.remembered_ms(channel.kind),
            self._publish_verb,
            self.feed_of(channel),
        ]

    def _publish(self, requests: Sequence[Publish]) -> Call:
        channel = requests[0].channel
        kept = self._options.kept(channel.kind)
        keys, arguments = self._channel(channel)
        keys.append(f"courier:{{{channel}}}:call:{self._node}")
        arguments += (
            next(self._numbers),
            CALL_SECONDS,
            KEY_SECONDS,
            kept.events,
            kept.milliseconds,
            self._options.history_bytes,
        )
        for request in requests:
            for event, key, digest, _ in request.publications:
                if key:
                    keys.append(f"courier:{{{channel}}}:key:{key}")
                arguments += (event, "1" if key else "", digest, request.reached)

        def settle(answer: bytes) -> None:
            outcomes = iter(answer.split(b"\n"))
            for request in requests:
                request.reply.give([self._outcome(channel, next(outcomes)) for _ in request.publications])

        return Call(PUBLISH, keys, arguments, requests, settle)

    def _outcome(self, channel: ChannelName, line: bytes) -> Outcome:
        if line == b"conflict":
            return KeyConflict()
        epoch, offset, arrived_ms, reached, deduplicated = line.split()
        position = Position(epoch.decode(), int(offset))
        self._known.note(channel.name, position)
        return Appended(position, int(arrived_ms), int(reached), deduplicated == b"1")

    def _follow(self, request: Follow) -> Call:
        keys, arguments = self._channel(request.channel)

        def settle(answer: bytes) -> None:
            epoch, offset, arrived_ms = answer.split()
            position = Position(epoch.decode(), int(offset))
            self._known.note(request.channel.name, position)
            request.reply.give(Origin(position, int(arrived_ms)))

        return Call(FOLLOW, keys, arguments, [request], settle)

    def _read(self, request: Read) -> Call:
        keys, arguments = self._channel(request.channel)
        match request.since:
            case None:
                arguments += ("newest", "", 0)
            case Moment(milliseconds):
                arguments += ("moment", milliseconds, 0)
            case Position(epoch, offset) if epoch == UNBORN and request.vouched:
                arguments += ("unborn", "", offset)
            case Position(epoch, offset):
                arguments += ("position", epoch, offset)
        arguments += (request.limit, READ_BYTES, self._options.kept(request.channel.kind).milliseconds)

        def settle(answer: Sequence[Any]) -> None:
            if answer == [b"behind"]:
                request.reply.fail(Behind())
                return
            stretch = _stretch(answer)
            self._known.note(request.channel.name, stretch.head)
            request.reply.give(stretch)

        return Call(READ, keys, arguments, [request], settle)

    def _began(self, requests: Sequence[Began]) -> Call:
        def settle(answer: bytes) -> None:
            for request in requests:
                request.reply.give(int(answer))

        return Call(BEGAN, ["courier:began"], [], requests, settle)

    def _admit(self, requests: Sequence[Admit]) -> Call:
        first = requests[0]
        arguments: list[Argument] = [first.limit, first.window_seconds * _MICROSECONDS]
        arguments += (request.events for request in requests)

        def settle(answer: Sequence[int]) -> None:
            now, *figures = answer
            for request, admitted, remaining, wait in zip(
                requests, figures[::3], figures[1::3], figures[2::3], strict=True
            ):
                request.reply.give(Admission(admitted == 1, remaining, wait / _MICROSECONDS, now))

        # Not repeated: the events might count twice, and a service would be refused what it may publish.
        return Call(
            WINDOW, [f"courier:rate:{{{first.service}}}"], arguments, requests, settle, repeatable=False
        )


def _stretch(answer: Sequence[Any]) -> Stretch:
    name, head, start, gap, *fields = answer
    epoch = name.decode()
    records = [
        Record(Position(epoch, start + number), int(arrived_ms), event)
        for number, (arrived_ms, event) in enumerate(zip(fields[::2], fields[1::2], strict=True), 1)
    ]
    return Stretch(
        Position(epoch, start), Position(epoch, head), records, GapReason(gap.decode()) if gap else None
    )
