"""Publishers: one for each event loop in which a client is used. Connections cannot change loops."""

from collections.abc import AsyncGenerator, Callable

from anyio.lowlevel import current_token

from courier_client.publisher import Publisher


class Publishers:
    """Makes a Publisher at a loop's first need, and closes it when the loop ends."""

    def __init__(self, make: Callable[[], Publisher]) -> None:
        self._make = make
        self._by_loop: dict[object, tuple[Publisher, AsyncGenerator[None, None]]] = {}

    @property
    def here(self) -> Publisher | None:
        """That of the loop that runs, if it has one."""
        mine = self._by_loop.get(current_token().native_token)
        return None if mine is None else mine[0]

    async def open(self) -> Publisher:
        """Make one for the loop that runs."""
        self._drop_those_of_closed_loops()
        loop, publisher = current_token().native_token, self._make()
        until_the_loop_ends = self._close_with_the_loop(loop, publisher)
        self._by_loop[loop] = publisher, until_the_loop_ends
        await anext(until_the_loop_ends)
        return publisher

    async def close(self) -> None:
        """Close that of the loop that runs; those of others are closed when their loops end."""
        if (mine := self._by_loop.get(current_token().native_token)) is not None:
            await mine[1].aclose()

    async def _close_with_the_loop(self, loop: object, publisher: Publisher) -> AsyncGenerator[None, None]:
        """Before a loop ends, it closes the asynchronous generators that were begun in it (PEP 525)."""
        try:
            yield
        finally:
            self._by_loop.pop(loop, None)
            await publisher.aclose()

    def _drop_those_of_closed_loops(self) -> None:
        """Of asyncio's loops that were closed without `shutdown_asyncgens`: nobody can close them any more,
        and their sockets go with the last reference."""
        for loop in list(self._by_loop):
            if getattr(loop, "is_closed", bool)():
                self._by_loop.pop(loop, None)
