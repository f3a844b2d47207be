"""Ask: a service of yours says who may join, for kinds of channels that are declared so."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from typing import NamedTuple

import httpx
import trio
from pydantic import BaseModel, ConfigDict, ValidationError

from courier.logs import get_logger
from courier.schemas.channels import Authority, ChannelName, Kinds
from courier.settings import Settings, SettingsError
from courier.web.access import AccessUnknown, Rules
from courier.web.auth import FetchError, Identity, OwnToken, fetch

LIMIT_SECONDS = 2.0
MAX_ANSWER_BYTES = 64 * 1024
ALLOWED_SECONDS = 60.0
REFUSED_SECONDS = 5.0
REMEMBERED = 10_000
"""How many answers are remembered; then the oldest go."""
QUESTIONS_PER_USER = 8
QUESTIONS = 256
"""How many questions may be unanswered at a time; one more is not asked, and may be asked again later."""

_OF_THE_TOKEN = frozenset({"exp", "iat", "nbf", "jti"})
"""Claims that differ from one token to the next of the same user."""

logger = get_logger(__name__)


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)

    allow: bool


class _Subject(NamedTuple):
    """What an answer is remembered by."""

    user_id: str
    channel: str
    claims: bytes
    """A digest of all that the token says but of itself."""


class _Question:
    """One request, and all who wait for its answer."""

    __slots__ = ("allow", "answered", "forgotten")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.allow: bool | None = None
        self.forgotten = False
        """Its answer is to be given to those who wait, and not to be remembered."""


class AccessUrl:
    """What `COURIER_ACCESS_URL` answers: asked once for all who ask the same at once, and remembered."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, token: OwnToken, limit_seconds: float = LIMIT_SECONDS
    ) -> None:
        self._client = client
        self._url = url
        self._token = token
        self._limit_seconds = limit_seconds
        self._answers: dict[_Subject, tuple[bool, float]] = {}
        """With the moment until which each counts (`trio.current_time`), the oldest first."""
        self._questions: dict[_Subject, _Question] = {}
        self._per_user = Counter[str]()

    async def may_join(self, identity: Identity, channel: ChannelName) -> bool:
        """Whether the service lets this user join the channel; AccessUnknown when it does not say."""
        subject = _subject(identity, channel)
        allow, until = self._answers.get(subject, (False, 0.0))
        if until > trio.current_time():
            return allow
        question = self._questions.get(subject)
        if question is None:
            question = self._begin(subject)
            try:
                await self._ask(subject, question, _body(identity, channel))
            finally:
                self._end(subject, question)
        else:
            await question.answered.wait()
        if question.allow is None:
            raise AccessUnknown("COURIER_ACCESS_URL gave no usable answer")
        return question.allow

    def forget(self, user_id: str) -> None:
        """Ask anew when this user comes back."""
        for subject in [each for each in self._answers if each.user_id == user_id]:
            del self._answers[subject]
        for subject, question in self._questions.items():
            question.forgotten |= subject.user_id == user_id

    def _begin(self, subject: _Subject) -> _Question:
        if len(self._questions) >= QUESTIONS or self._per_user[subject.user_id] >= QUESTIONS_PER_USER:
            raise AccessUnknown("too many questions wait for COURIER_ACCESS_URL to answer")
        self._per_user[subject.user_id] += 1
        question = self._questions[subject] = _Question()
        return question

    def _end(self, subject: _Subject, question: _Question) -> None:
        del self._questions[subject]
        self._per_user[subject.user_id] -= 1
        if not self._per_user[subject.user_id]:
            del self._per_user[subject.user_id]
        question.answered.set()

    async def _ask(self, subject: _Subject, question: _Question, body: bytes) -> None:
        # Shielded, because others wait for what this asker has begun, and it may leave.
        with trio.move_on_after(self._limit_seconds, shield=True), suppress(FetchError, ValidationError):
            said = await fetch(self._client, self._url, MAX_ANSWER_BYTES, self._token(), body)
            question.allow = _Answer.model_validate_json(said).allow
        if question.allow is None:
            logger.warning("Access not answered", channel=subject.channel, user_id=subject.user_id)
        elif not question.forgotten:
            seconds = ALLOWED_SECONDS if question.allow else REFUSED_SECONDS
            self._answers.pop(subject, None)
            self._answers[subject] = question.allow, trio.current_time() + seconds
            if len(self._answers) > REMEMBERED:
                del self._answers[next(iter(self._answers))]


def _subject(identity: Identity, channel: ChannelName) -> _Subject:
    claims = {name: value for name, value in identity.said.items() if name not in _OF_THE_TOKEN}
    digest = sha256(json.dumps(claims, sort_keys=True).encode()).digest()
    return _Subject(identity.claims.user_id, channel.name, digest)


def _body(identity: Identity, channel: ChannelName) -> bytes:
    question = {
        "user_id": identity.claims.user_id,
        "channel": channel.name,
        "kind": channel.kind,
        "ids": channel.ids,
        "claims": identity.said,
    }
    return json.dumps(question).encode()


def check_asked(kinds: Kinds, settings: Settings) -> None:
    """Raise SettingsError for a kind whose rule is to ask, when there is nobody to ask."""
    for kind in kinds:
        if kind.join == "ask" and settings.access_url is None:
            raise SettingsError(
                f"COURIER_ACCESS_URL must be set, because {kind.module} declares the kind {kind.name!r}"
                " with join='ask'"
            )


@asynccontextmanager
async def open_rules(
    kinds: Kinds, settings: Settings, error: Callable[[str, BaseException], None]
) -> AsyncIterator[Rules]:
    """Rules for the length of a block, with all that is asked by them."""
    check_asked(kinds, settings)
    async with AsyncExitStack() as stack:
        asked = {
            kind.name: await stack.enter_async_context(kind.join.opened(settings))
            for kind in kinds
            if isinstance(kind.join, Authority)
        }
        forget: Callable[[str], None] = _nothing
        if settings.access_url is not None:
            # One limit for the whole, not for each step.
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=None))  # noqa: S113
            url = AccessUrl(client, settings.access_url, OwnToken(settings))
            asked |= {kind.name: url.may_join for kind in kinds if kind.join == "ask"}
            forget = url.forget
        yield Rules(kinds, asked, error, forget)


def _nothing(user_id: str) -> None:
    """There is nothing to forget."""
