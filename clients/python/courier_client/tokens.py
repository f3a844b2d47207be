"""Tokens: a token, or whoever gives fresh ones."""

import inspect
from collections.abc import Awaitable, Callable

from courier_client.errors import TokenFailed

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a callable that gives one, async or not; it is asked again when the last one has expired."""


class TokenSource:
    """Keeps the token in use. No `repr` shows it."""

    def __init__(self, token: Token | None) -> None:
        self._give = token if callable(token) else None
        self._held = None if token is None or callable(token) else _checked(token)

    @property
    def renewable(self) -> bool:
        """Whether a fresh token may be asked for."""
        return self._give is not None

    async def get(self) -> str | None:
        """The token in use, asked for when there is none yet; TokenFailed when that fails."""
        return await self.fresh() if self._held is None and self._give is not None else self._held

    async def fresh(self) -> str:
        """A new token, from now on the one in use; TokenFailed when the callable raises, or gives what is no
        token."""
        assert self._give is not None
        try:
            given = self._give()
            token = await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise TokenFailed(f"The callable for tokens raised {type(error).__name__}") from error
        try:
            self._held = _checked(token)
        except ValueError as error:
            raise TokenFailed(f"The callable for tokens gave no token: {error}") from None
        return self._held


def _checked(token: str) -> str:
    """A token that a header can hold, without the end of the line that it was read from; ValueError for
    anything else, which does not repeat it."""
    token = token.strip() if isinstance(token, str) else ""
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("a token is one or more visible ASCII characters")
    return token
