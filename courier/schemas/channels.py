"""ChannelName and ChannelKind: what channels are called, and what is declared of all those of one kind."""

import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from inspect import iscoroutinefunction
from itertools import combinations
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from courier.schemas.errors import RegistryError

SEGMENT_PATTERN = "[A-Za-z0-9_@|:+~-]{1,128}"
"""One segment of an id: `auth0|5f7c8ec7` and `urn:acme:7` are ids of identity providers. Nothing in it
separates: no dot, no slash, and no brace, which ends a hash tag in Redis."""

SEGMENT_SAID = "1 to 128 of A-Z a-z 0-9 _ - @ | : + ~"
"""The same for people."""

LONGEST_NAME = 255
LONGEST_KIND = 64
MOST_SEGMENTS = 4

_KIND = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_ANY = re.compile(rf"{SEGMENT_PATTERN}(\.{SEGMENT_PATTERN})*")
_PATTERN = re.compile(r"\*|[a-z0-9_.-]+\*?")
_NAMES_KEPT = 4096


def may_be_channel(text: str) -> bool:
    """Whether the text could name a channel of some kind, whichever kinds a node has."""
    return len(text) <= LONGEST_NAME and _ANY.fullmatch(text) is not None


class UnknownChannelError(ValueError):
    """A text that names no channel; its message says which names there are, and never repeats the text."""


class ChannelName(NamedTuple):
    """A channel's name, taken apart: `user.u1` is of kind `user` with id `u1`; `global` has no id.

    `Kinds.parse` makes it.
    """

    name: str
    kind: str
    id: str | None

    def __str__(self) -> str:
        return self.name

    @property
    def ids(self) -> tuple[str, ...]:
        """The segments of the id, in order: `("7", "alice")` of `tenant.7.alice`; none of `global`."""
        return () if self.id is None else tuple(self.id.split("."))


@runtime_checkable
class Authority(Protocol):
    """A rule that asks somebody else, as the kind `strategy` asks Architect."""

    def opened(self, settings: Any) -> "AbstractAsyncContextManager[Allows]":
        """What answers while the node runs; see `courier.web.access`."""


Allows = Callable[[Any, ChannelName], Awaitable[bool]]
"""Whether the bearer of these claims may join; raises `courier.web.access.AccessUnknown` if it cannot say."""

JoinRule = Literal["everyone", "owner", "granted", "ask"] | Callable[[Any, ChannelName], bool] | Authority
"""Who may join the channels of a kind: any valid token; the user whom the id's first segment names; only the
bearer of a grant; whom your own service allows (`COURIER_ACCESS_URL`); or whom a function of claims and
channel admits by saying `True`."""

RULES = ("everyone", "owner", "granted", "ask")


@dataclass(frozen=True, eq=False)
class ChannelKind:
    """A kind of channels: `ChannelKind("order", join="owner")` declares the channels `order.<id>`.

    Declare it in a module that `COURIER_EVENT_MODULES` names, beside the events. RegistryError, in one
    sentence, for a declaration that cannot be used.
    """

    name: str
    """Lower-case words joined by dots, which a channel's name begins with. Metrics are labelled by it."""
    join: JoinRule
    """Who may join, read the history, and stay when a token is renewed. A grant admits whatever this says."""
    id_segments: int = 1
    """How many segments follow the name, 0 to 4."""
    events: Sequence[str] = ("*",)
    """Event types that may be published: exact, or a prefix followed by `*`."""
    publishers: Sequence[str] = ("*",)
    """Services that may publish, likewise."""
    history_events: int | None = None
    """How many events a channel's log keeps; None: COURIER_HISTORY_EVENTS."""
    history_seconds: float | None = None
    """How long it keeps them; None: COURIER_HISTORY_SECONDS."""
    about: str = ""
    """A sentence or two for publishers and subscribers, in the documents."""
    module: str = field(init=False, repr=False)
    """Where it is declared."""

    def __post_init__(self) -> None:
        declared_in = sys._getframe(2).f_globals["__name__"]  # below the `__init__` that `dataclass` makes
        object.__setattr__(self, "module", declared_in)
        if fault := _fault(self):
            raise RegistryError(f"{self.module}: ChannelKind {self.name!r:.{LONGEST_KIND + 2}} {fault}")

    @property
    def form(self) -> str:
        """How its channels are called, for people: `order.<id>`, `tenant.<id>.<id>`."""
        return self.name + ".<id>" * self.id_segments

    @property
    def pattern(self) -> str:
        """The same as a regular expression, not anchored."""
        return re.escape(self.name) + rf"\.{SEGMENT_PATTERN}" * self.id_segments

    def takes(self, event_type: str) -> bool:
        """Whether such an event may be published to its channels."""
        return matches(event_type, self.events)

    def hears(self, service: str) -> bool:
        """Whether that service may publish to its channels."""
        return matches(service, self.publishers)


def matches(text: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns is the text, or a prefix of it followed by `*`."""
    for each in patterns:
        if each == "*" or text == each or (each[-1:] == "*" and text.startswith(each[:-1])):
            return True
    return False


def _fault(kind: ChannelKind) -> str | None:
    """Why a declaration cannot be used, as the end of a sentence."""
    name = kind.name
    if not (isinstance(name, str) and len(name) <= LONGEST_KIND and _KIND.fullmatch(name)):
        return (
            "has no usable name: expected words of a-z, 0-9 and _, joined by dots,"
            f" at most {LONGEST_KIND} characters"
        )
    if name in ("batch", "courier", "many") or name.startswith(("user.", "courier.")):
        return "has a name that Courier needs: batch, courier, many, and what begins with user. or courier."
    if type(kind.id_segments) is not int or not 0 <= kind.id_segments <= MOST_SEGMENTS:
        return f"has id_segments={kind.id_segments!r}: expected a whole number from 0 to {MOST_SEGMENTS}"
    if fault := _rule_fault(kind):
        return fault
    for name, patterns in (("events", kind.events), ("publishers", kind.publishers)):
        if isinstance(patterns, str) or not all(
            isinstance(each, str) and _PATTERN.fullmatch(each) for each in patterns
        ):
            return f"has {name}={patterns!r}: expected a list of names, or of prefixes followed by *"
    for name, limit in (("history_events", kind.history_events), ("history_seconds", kind.history_seconds)):
        if limit is not None and not (type(limit) in (int, float) and limit > 0):
            return f"has {name}={limit!r}: expected a number above 0, or None"
    return None


def _rule_fault(kind: ChannelKind) -> str | None:
    rule = kind.join
    if isinstance(rule, str):
        if rule not in RULES:
            known = ", ".join(RULES)
            return f"has join={rule!r}: expected one of {known}, or a function (claims, channel) -> bool"
        if rule == "owner" and not kind.id_segments:
            return "has join='owner', and no id that could name an owner: expected id_segments of 1 or more"
        return None
    if iscoroutinefunction(rule) or iscoroutinefunction(getattr(rule, "__call__", None)):  # noqa: B004
        return "has an async rule: expected a function that answers at once; to ask a service, use join='ask'"
    usable = callable(rule) or isinstance(rule, Authority)
    return None if usable else f"has join={rule!r}: expected a rule's name, or a function"


GLOBAL = ChannelKind(
    "global", join="everyone", id_segments=0, about="For everybody. Any valid token may join."
)
USER = ChannelKind(
    "user", join="owner", about="For one user: the token whose user id is exactly the channel's id."
)

ALWAYS = (GLOBAL, USER)
"""The kinds that each node has."""


class Kinds:
    """The kinds of channels of one node, by name; they are all that its channels can be.

    RegistryError for two that could have a channel of the same name.
    """

    def __init__(self, kinds: Iterable[ChannelKind] = ()) -> None:
        self._by_name: dict[str, ChannelKind] = {}
        for kind in dict.fromkeys((*ALWAYS, *kinds)):
            other = self._by_name.setdefault(kind.name, kind)
            if other is not kind:
                whose = "every node has one" if other in ALWAYS else f"{other.module} has one"
                raise RegistryError(f"{kind.module}: ChannelKind {kind.name!r} needs another name: {whose}")
        for one, two in combinations(self, 2):
            if _overlap(one, two):
                raise RegistryError(
                    f"{two.module}: ChannelKind {two.name!r} and {one.name!r} of {one.module}"
                    " could have a channel of the same name"
                )
        self._pattern = re.compile("|".join(f"({kind.pattern})" for kind in self))
        self._order = tuple(self)
        self.parse = lru_cache(_NAMES_KEPT)(self._parse)
        """`_parse`, remembered."""

    def __iter__(self) -> Iterator[ChannelKind]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> ChannelKind:
        return self._by_name[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kinds) and self._order == other._order

    def __hash__(self) -> int:
        return hash(self._order)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @cached_property
    def pattern(self) -> str:
        """A regular expression, in the dialect of JSON Schema, for the name of any channel."""
        alike: dict[int, list[str]] = {}
        for kind in self:
            alike.setdefault(kind.id_segments, []).append(re.escape(kind.name))
        forms = [
            "|".join(names) if not segments else f"({'|'.join(names)})" + rf"\.{SEGMENT_PATTERN}" * segments
            for segments, names in sorted(alike.items())
        ]
        return f"^({'|'.join(forms)})$"

    @cached_property
    def unknown(self) -> str:
        """The sentence for a text that names no channel."""
        *most, last = [kind.form for kind in self]
        return f"Unknown channel: expected {', '.join(most)} or {last}, where <id> is {SEGMENT_SAID}"

    def _parse(self, text: str) -> ChannelName:
        """The channel that `text` names, whole and exact; UnknownChannelError when it names none."""
        match = self._pattern.fullmatch(text) if len(text) <= LONGEST_NAME else None
        if match is None or match.lastindex is None:
            raise UnknownChannelError(self.unknown)
        kind = self._order[match.lastindex - 1]
        return ChannelName(text, kind.name, text[len(kind.name) + 1 :] or None)


def _overlap(one: ChannelKind, two: ChannelKind) -> bool:
    """Whether a name could be of both: a word of a kind's name can be a segment of an id, too. `a.b` is of
    the kind `a.b`, and of the kind `a` with one segment."""
    shorter, longer = sorted((one, two), key=lambda kind: len(kind.name))
    rest = longer.name.removeprefix(f"{shorter.name}.")
    if rest == longer.name:
        return False
    return rest.count(".") + 1 + longer.id_segments == shorter.id_segments


EVERY_NODES = Kinds()
"""The kinds that each node has, and no others."""
