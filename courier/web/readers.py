"""Readers: how many answers of size are on their way at once, of a node and of each user."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from courier.web.errors import RETRY_AFTER, HttpError

READERS = 64
READERS_PER_USER = 8
"""A reader that does not read holds one page, and its place here, until the server cuts it off."""


class Readers:
    """Those to whom a page of history is being read or sent."""

    def __init__(self) -> None:
        self._of_user: Counter[str] = Counter()

    @contextmanager
    def admit(self, user_id: str) -> Iterator[None]:
        """A place for the length of a block; raises 503 when the node or the user has no more."""
        if self._of_user.get(user_id, 0) >= READERS_PER_USER:
            raise too_many_of_user()
        if self._of_user.total() >= READERS:
            raise too_many_of_node()
        self._of_user[user_id] += 1
        try:
            yield
        finally:
            self._of_user[user_id] -= 1
            if not self._of_user[user_id]:
                del self._of_user[user_id]


def too_many_of_user() -> HttpError:
    """The 503 of a user who reads too much at once."""
    return HttpError(
        503,
        "User reads as many histories at once as it may; try again later",
        RETRY_AFTER,
        f"limit {READERS_PER_USER}",
    )


def too_many_of_node() -> HttpError:
    """The 503 of a node to which too many read at once."""
    return HttpError(
        503,
        "Node sends as many histories at once as it may; try again later",
        RETRY_AFTER,
        f"limit {READERS}",
    )
