"""Ownership: whose strategy is it? Asked of Architect, and remembered for a minute."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import httpx
import trio
from pydantic import BaseModel, ValidationError

from courier.logs import get_logger
from courier.schemas.channels import Allows, ChannelName
from courier.schemas.names import Id
from courier.settings import Settings
from courier.web.access import AccessRefused, AccessUnknown
from courier.web.auth import FetchError, Identity, NotFound, OwnToken, fetch

LIMIT_SECONDS = 2.0
REMEMBERED_SECONDS = 60.0
REMEMBERED = 10_000
MAX_ANSWER_BYTES = 64 * 1024

logger = get_logger(__name__)


class _Strategy(BaseModel):
    user_id: Id


class Answers:
    """The youngest answers, each for `seconds`: the owner of a strategy, None for one that does not exist."""

    def __init__(self, seconds: float = REMEMBERED_SECONDS, size: int = REMEMBERED) -> None:
        self._seconds = seconds
        self._size = size
        self._answers: dict[str, tuple[float, str | None]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, strategy_id: str, owner: str | None, now: float) -> None:
        """Remember an answer; when there are too many, the oldest goes."""
        self._answers.pop(strategy_id, None)
        self._answers[strategy_id] = (now + self._seconds, owner)
        if len(self._answers) > self._size:
            del self._answers[next(iter(self._answers))]

    def get(self, strategy_id: str, now: float) -> str | None:
        """The owner as it was answered; KeyError when it was not, or too long ago."""
        ends, owner = self._answers[strategy_id]
        if ends <= now:
            raise KeyError(strategy_id)
        return owner


class _Question:
    """One request to Architect, and all who wait for its answer."""

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.failed = True
        self.owner: str | None = None


class Ownership:
    """What Architect knows of strategies: one request for all who ask at once. Made by `open_ownership`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: Settings,
        limit_seconds: float = LIMIT_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._settings = settings
        self._limit_seconds = limit_seconds
        self._answers = Answers()
        self._questions: dict[str, _Question] = {}
        self._token = OwnToken(settings, now)

    async def may_join(self, identity: Identity, channel: ChannelName) -> bool:
        """Whether the strategy is this user's; raises AccessRefused when it is not, or AccessUnknown."""
        assert channel.id is not None
        if await self.owner_of(channel.id) != identity.claims.user_id:
            raise AccessRefused("strategy has another owner, or does not exist")
        return True

    async def owner_of(self, strategy_id: str) -> str | None:
        """The user who owns a strategy, or None when there is no such strategy.

        Raises AccessUnknown when Architect does not say, in time and in the shape that was agreed.
        """
        try:
            return self._answers.get(strategy_id, trio.current_time())
        except KeyError:
            pass
        question = self._questions.get(strategy_id)
        if question is None:
            question = self._questions[strategy_id] = _Question()
            await self._ask(strategy_id, question)
        else:
            await question.answered.wait()
        if question.failed:
            raise AccessUnknown("Architect did not say whose strategy it is")
        return question.owner

    async def _ask(self, strategy_id: str, question: _Question) -> None:
        try:
            # Shielded, because others wait for what this asker has begun, and it may leave.
            with trio.move_on_after(self._limit_seconds, shield=True), suppress(FetchError, ValidationError):
                question.owner = await self._fetch(strategy_id)
                question.failed = False
                self._answers.put(strategy_id, question.owner, trio.current_time())
        finally:
            del self._questions[strategy_id]
            question.answered.set()
        if question.failed:
            logger.warning("Architect did not say whose strategy it is", strategy_id=strategy_id)

    async def _fetch(self, strategy_id: str) -> str | None:
        url = f"{self._settings.architect_url}/strategies/{quote(strategy_id, safe='')}"
        try:
            body = await fetch(self._client, url, MAX_ANSWER_BYTES, self._token())
        except NotFound:
            return None
        return _Strategy.model_validate_json(body).user_id


@asynccontextmanager
async def open_ownership(
    settings: Settings, *, limit_seconds: float = LIMIT_SECONDS, now: Callable[[], float] = time.time
) -> AsyncIterator[Ownership | None]:
    """An Ownership for the length of a block, or None when `COURIER_ARCHITECT_URL` is not set."""
    if settings.architect_url is None:
        yield None
        return
    async with httpx.AsyncClient(timeout=None) as client:  # noqa: S113 - one limit for the whole, not for each step
        yield Ownership(client, settings, limit_seconds, now)


@asynccontextmanager
async def open_authority(settings: Settings) -> AsyncIterator[Allows]:
    """Who may join a strategy's channel, for the length of a block.

    When no Architect can be asked, any valid token will do in development, and none in production.
    """
    async with open_ownership(settings) as ownership:
        if ownership is not None:
            yield ownership.may_join
        elif settings.env == "development":
            logger.warning("Every valid token may join strategy channels: COURIER_ARCHITECT_URL is not set")
            yield _anybody
        else:
            yield _nobody


async def _anybody(identity: Identity, channel: ChannelName) -> bool:
    return True


async def _nobody(identity: Identity, channel: ChannelName) -> bool:
    raise AccessRefused("nobody can say who owns a strategy: COURIER_ARCHITECT_URL is not set")
