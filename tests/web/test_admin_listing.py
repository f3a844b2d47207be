"""Long tables: right, quick, and never in the way of others."""

import time
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from courier.actors.hub import Hub
from courier.node import open_node
from courier.schemas.registry import default_registry
from courier.web.admin.connections import list_connections
from courier.web.admin.listing import ROWS_A_TURN, Found, Query, Table, find
from courier.web.auth import Verifier
from courier.web.rate_limit import RateLimiter
from courier.web.sessions import SessionStatistics
from courier.web.site import Site
from tests.names import PLAIN_RULES, channel_name
from tests.web.servers import settings_for

ROWS = 10_000
NUMBERS = Table[tuple[str, int]](
    name=lambda row: row[0], texts=lambda row: (row[0],), columns={"number": lambda row: row[1]}
)


def found(rows: list[tuple[str, int]], query: Query) -> Found[tuple[str, int]]:
    return trio.run(find, rows, NUMBERS, query)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([0, 7, ROWS_A_TURN, ROWS_A_TURN + 1, 2 * ROWS_A_TURN + 3]),
    st.integers(1, 5),
    st.sampled_from([0, 1, ROWS_A_TURN - 1, ROWS_A_TURN, 2 * ROWS_A_TURN + 10]),
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from(["", "1", "row9", "nothing"]),
)
def test_a_page_is_what_sorting_everything_would_give(
    count: int, numbers: int, offset: int, limit: int, descending: bool, search: str
) -> None:
    rows = [(f"Row{n}", n * 7919 % numbers) for n in range(count)]
    all_of_them = sorted(
        (row for row in rows if search in row[0].lower()),
        key=lambda row: (row[1], row[0]),
        reverse=descending,
    )
    page = found(rows, Query(limit, offset, search, "number", descending))
    assert page == Found(all_of_them[offset : offset + limit], len(all_of_them))


async def turns_while(query: Query, rows: list[tuple[str, int]]) -> int:
    """How often another task had its turn meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        turns = 0
        await find(rows, NUMBERS, query)
        nursery.cancel_scope.cancel()
    return turns


@pytest.mark.parametrize("offset", [0, ROWS - 1])
async def test_others_have_their_turns_while_a_long_table_is_searched(offset: int) -> None:
    rows = [(f"row{n}", n * 7919 % ROWS) for n in range(ROWS)]
    turns = await turns_while(Query(50, offset, "row", "number"), rows)
    assert turns >= (ROWS + offset) // ROWS_A_TURN - 2


async def test_rows_may_come_and_go_while_a_table_is_searched() -> None:
    rows = {n: (f"row{n}", n) for n in range(3 * ROWS_A_TURN)}
    async with trio.open_nursery() as nursery:

        async def change() -> None:
            del rows[7]
            rows[-1] = ("row-1", -1)

        nursery.start_soon(change)
        page = await find(rows.values(), NUMBERS, Query(sort="number"))
    assert page.total == 3 * ROWS_A_TURN
    assert len(rows) == page.total


class Stand:
    """As much of a session as a row is made of."""

    def __init__(self, subscriber: Any) -> None:
        self.connection = subscriber
        self.subscribers = (subscriber,)
        self.kind = subscriber.channel.kind
        self.connected_at = time.time()
        self.quiet_seconds = 1.0
        self.address = "127.0.0.1"

    def statistics(self) -> SessionStatistics:
        now = time.time()
        subscriber = self.connection
        subscriptions = [subscriber.statistics()]
        return SessionStatistics(
            subscriber.id, subscriber.owner, subscriptions, 0, None, self.address, now, now, None, 0
        )


async def ten_thousand(hub: Hub) -> list[Any]:
    return [Stand(await hub.join(channel_name(f"user.u{n % 2000}"), f"u{n}")) for n in range(ROWS)]


async def test_ten_thousand_connections_are_listed_within_a_moment() -> None:
    config = settings_for(max_connections_per_user=0)
    async with open_node(config) as node:
        sessions = {one.connection.id: one for one in await ten_thousand(node.hub)}
        site = Site(
            node, default_registry(), Verifier(config), RateLimiter(0, 60), PLAIN_RULES, sessions=sessions
        )
        began = time.process_time()
        answer = await list_connections(site, {"sort": "lag", "order": "desc", "offset": "9990"})
        spent = time.process_time() - began
        assert (answer["total"], len(answer["connections"])) == (ROWS, 10)
        assert spent < 0.5  # some 0.03 on a machine of 2026: a tenfold of it is a fault
