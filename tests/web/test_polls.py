"""History that waits, goes back, or says only where the log stands."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from courier.backplane import Record, Stretch
from courier.schemas.control import GapReason
from courier.schemas.position import Position, Since
from courier.web.auth import Identity, TokenRevoked
from courier.web.history.page import read_page
from courier.web.history.request import Wanted
from courier.web.revoking import Revoking
from tests.web.servers import Response, TestServer, a_server, announcement, exchange, token
from tests.web.test_history import ask, published, titles
from tests.web.test_publish import a_server_to_drain


@pytest.fixture(params=["on", "off"], ids=["the desk", "the general path"])
def desk(request: pytest.FixtureRequest) -> str:
    param: str = request.param
    return param


class Asker:
    """A request that waits."""

    def __init__(self) -> None:
        self.answer: Response | None = None
        self.answered = trio.Event()


@asynccontextmanager
async def asking(
    server: TestServer, since: str, wait: float = 30, query: str = "", bearer: str | None = None
) -> AsyncIterator[Asker]:
    """Ask, and go on when the node has the request; the answer must have come at the end of the block."""
    asker = Asker()
    async with trio.open_nursery() as nursery, await server.connect() as stream:
        headers = {"Authorization": f"Bearer {bearer or token()}"}

        async def wait_for_answer() -> None:
            path = f"/history/user.u1?since={since}&wait={wait}{query}"
            asker.answer = await exchange(stream, "GET", path, None, headers)
            asker.answered.set()

        nursery.start_soon(wait_for_answer)
        await waiting(server)
        yield asker
        with trio.fail_after(20):
            await asker.answered.wait()


async def waiting(server: TestServer, count: int = 1) -> None:
    """Return when so many wait at the node."""
    with trio.fail_after(20):
        while (await server.request("GET", "/health")).json["metrics"]["active_connections"] != count:
            await trio.sleep(0.01)


async def test_an_event_answers_who_waits_for_it(desk: str) -> None:
    async with a_server(desk=desk) as server:
        [first] = await published(server, 1)
        async with asking(server, first) as asker:
            assert not asker.answered.is_set()
            [second] = await published(server, 1)
        assert asker.answer is not None
        assert asker.answer.status == 200
        found = asker.answer.json
        assert [event["id"] for event in found["events"]] == [second]
        assert (found["position"], found["complete"], found["more"]) == (second, True, False)
        assert found == (await ask(server, query=f"?since={first}")).json


async def test_who_waits_in_vain_hears_where_the_log_stands(desk: str) -> None:
    async with a_server(desk=desk) as server:
        [first] = await published(server, 1)
        answer = await ask(server, query=f"?since={first}&wait=0.1")
        assert answer.json == {
            "channel": "user.u1", "position": first, "events": [], "complete": True, "more": False,
        }  # fmt: skip
        assert answer.headers["cache-control"] == "no-store"


async def test_what_follows_already_is_not_waited_for(desk: str) -> None:
    async with a_server(desk=desk, history_events=3) as server:
        ids = await published(server, 6)
        answer = await ask(server, query=f"?since={ids[4]}&wait=30")
        assert titles(answer) == [5]
        answer = await ask(server, query=f"?since={ids[0]}&wait=30&limit=2")
        assert (titles(answer), answer.json["complete"], answer.json["more"]) == ([3, 4], False, True)
        answer = await ask(server, query="?wait=30&limit=2")
        assert titles(answer) == [4, 5]


async def test_without_since_an_empty_log_is_waited_for(desk: str) -> None:
    found: list[Response] = []
    async with a_server(desk=desk) as server:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                found.append(await ask(server, query="?wait=30"))

            nursery.start_soon(wait)
            await waiting(server)
            await published(server, 1)
        assert titles(found[0]) == [0]


async def test_a_batch_that_came_together_is_one_answer_of_at_most_limit(desk: str) -> None:
    envelopes = [{"channel": "user.u1", "data": announcement(str(number))} for number in range(5)]
    async with a_server(desk=desk) as server:
        [first] = await published(server, 1)
        async with asking(server, first, query="&limit=3") as asker:
            body = json.dumps({"events": envelopes}).encode()
            headers = {"Content-Type": "application/json", "X-Service-Name": "tests"}
            await server.request("POST", "/publish/batch", body, headers)
        assert asker.answer is not None
        found = asker.answer.json
        assert [int(event["title"]) for event in found["events"]] == list(range(len(found["events"])))
        assert 1 <= len(found["events"]) <= 3
        assert found["more"] or len(found["events"]) < 3
        rest = await ask(server, query=f"?since={found['position']}")
        assert len(found["events"]) + len(rest.json["events"]) == 5


async def test_a_connection_waits_again_and_again() -> None:
    async with a_server(desk="on") as server, await server.connect() as stream:
        headers = {"Authorization": f"Bearer {token()}"}
        [position] = await published(server, 1)
        for number in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.publish, "user.u1", announcement(str(number)))
                path = f"/history/user.u1?since={position}&wait=20"
                answer = await exchange(stream, "GET", path, None, headers)
            assert titles(answer) == [number]
            position = answer.json["position"]


async def test_requests_behind_one_that_waits_are_answered_after_it() -> None:
    head = f"Host: x\r\nAuthorization: Bearer {token()}\r\n\r\n"
    async with a_server(desk="on") as server, await server.connect() as stream:
        [first] = await published(server, 1)
        lines = f"GET /history/user.u1?since={first}&wait=20 HTTP/1.1", "GET /health/live HTTP/1.1"
        await stream.send_all("".join(f"{line}\r\n{head}" for line in lines).encode())
        await waiting(server)
        await published(server, 1)
        received = b""
        with trio.fail_after(10):
            while b'"alive"' not in received:
                received += await stream.receive_some()
        assert received.index(b'"events":[{') < received.index(b'"alive"')


async def test_a_peer_that_leaves_waits_no_more(desk: str) -> None:
    async with a_server(desk=desk) as server:
        [first] = await published(server, 1)
        stream = await server.connect()
        request = f"GET /history/user.u1?since={first}&wait=60 HTTP/1.1\r\nHost: x\r\n"
        await stream.send_all(f"{request}Authorization: Bearer {token()}\r\n\r\n".encode())
        await waiting(server)
        await stream.aclose()
        await waiting(server, 0)


async def test_a_drain_answers_all_who_wait_at_once() -> None:
    async with a_server_to_drain() as (server, begin):
        [first] = await published(server, 1)
        async with asking(server, first) as asker:
            begin()
        assert asker.answer is not None
        assert (asker.answer.status, asker.answer.json["events"]) == (200, [])


async def test_who_waits_with_a_token_that_is_taken_back_is_refused(desk: str) -> None:
    secret = "the-token-of-an-admin-of-some-length"
    admin = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    async with a_server(desk=desk, admin_token=secret) as server:
        [first] = await published(server, 1)
        async with asking(server, first) as asker:
            await server.request("POST", "/admin/disconnect", b'{"user_id":"u1"}', admin)
        assert asker.answer is not None
        assert asker.answer.status == 503
        async with asking(server, first) as asker:
            await server.request("POST", "/admin/revocations", b'{"user_id":"u1"}', admin)
        assert asker.answer is not None
        assert (asker.answer.status, asker.answer.error["error"]) == (401, "Token revoked")


async def test_a_token_that_is_taken_back_while_the_channel_is_waited_for_leaves_no_subscriber(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = 0
    check = Revoking.check_subscriber

    def revoked_at_last(self: Revoking, identity: Identity) -> None:
        nonlocal checked
        checked += 1
        if checked == 3:  # verified, admitted, joined
            raise TokenRevoked
        check(self, identity)

    async with a_server() as server:
        [first] = await published(server, 1)
        monkeypatch.setattr(Revoking, "check_subscriber", revoked_at_last)
        answer = await ask(server, query=f"?since={first}&wait=30")
        assert (answer.status, answer.error["error"]) == (401, "Token revoked")
        await waiting(server, 0)


async def test_the_end_of_its_token_ends_the_wait(desk: str) -> None:
    async with a_server(desk=desk) as server:
        [first] = await published(server, 1)
        answer = await ask(server, query=f"?since={first}&wait=60", exp=int(time.time()) + 1)
        assert (answer.status, answer.json["events"]) == (200, [])


async def test_limit_0_is_the_position_alone() -> None:
    async with a_server() as server:
        ids = await published(server, 3)
        answer = await ask(server, query="?limit=0")
        assert answer.json == {
            "channel": "user.u1", "position": ids[-1], "events": [], "complete": True, "more": False,
        }  # fmt: skip


async def test_the_newest_come_first_page_by_page() -> None:
    async with a_server() as server:
        ids = await published(server, 7)
        seen: list[int] = []
        query, more = "", True
        while more:
            answer = await ask(server, query=f"?order=desc&limit=3{query}")
            seen += titles(answer)
            more, query = answer.json["more"], f"&before={answer.json['position']}"
            assert answer.json["complete"]
            assert answer.json["position"] == ids[seen[-1]]
        assert seen == [6, 5, 4, 3, 2, 1, 0]


async def test_what_has_gone_before_is_no_older_page() -> None:
    async with a_server(history_events=3) as server:
        ids = await published(server, 6)
        answer = await ask(server, query=f"?order=desc&before={ids[5]}")
        assert (titles(answer), answer.json["complete"], answer.json["more"]) == ([4, 3], True, False)
        answer = await ask(server, query=f"?order=desc&before={ids[2]}")
        assert (titles(answer), answer.json["complete"], answer.json["more"]) == ([], False, False)
        answer = await ask(server, query="?order=desc&before=zzzzzzzz-3")
        assert (titles(answer), answer.json["complete"]) == ([5, 4, 3], False)


class Shelf:
    """A log of large and small events, of which the first have gone; it gives 100 bytes at a time."""

    def __init__(self, sizes: list[int], gone: int) -> None:
        self.sizes, self.gone = sizes, gone

    async def read(self, since: Since | None, limit: int) -> Stretch:
        head = Position("aaaaaaaa", len(self.sizes))
        if since is None:
            start = max(self.gone, head.offset - limit)
        else:
            assert isinstance(since, Position)
            start = max(self.gone, since.offset)
        gap = GapReason.EXPIRED if since is not None and since.offset < self.gone else None
        offsets = list(range(start + 1, head.offset + 1))[:limit]
        while len(offsets) > 1 and sum(self.sizes[each - 1] for each in offsets) > 100:
            offsets = offsets[1:] if since is None else offsets[:-1]
        records = [Record(Position("aaaaaaaa", n), 0, b"x" * self.sizes[n - 1]) for n in offsets]
        begin = offsets[0] - 1 if offsets else start
        return Stretch(Position("aaaaaaaa", begin), head, records, gap)


@given(st.lists(st.sampled_from([1, 30, 60, 200]), max_size=30), st.integers(0, 30), st.integers(1, 12))
def test_going_back_finds_every_event_that_is_held_once(sizes: list[int], gone: int, limit: int) -> None:
    gone = min(gone, len(sizes))
    shelf = Shelf(sizes, gone)

    async def go_back() -> list[int]:
        seen: list[int] = []
        before: Position | None = None
        while True:
            page = await read_page(shelf.read, Wanted(limit, newest_first=True, before=before), 100)
            seen += [record.position.offset for record in page.records]
            assert page.complete
            if not page.more:
                return seen
            assert page.records
            before = page.position

    assert trio.run(go_back) == list(range(len(sizes), gone, -1))
