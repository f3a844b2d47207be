"""What Architect says is believed and remembered; what it does not say is never made up."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import jwt
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from courier.lumiere.ownership import MAX_ANSWER_BYTES, Answers, Ownership, open_ownership
from courier.settings import DEVELOPMENT_SECRET, load_settings
from courier.web.access import AccessUnknown
from courier.web.auth import Verifier

Answer = Callable[[trio.SocketStream], Awaitable[None]]

SHORT_SECONDS = 0.4


class HttpServer:
    """An HTTP/1.1 server of a few lines that answers as the test wants: the last answer goes on for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some() or b"\r\n\r\n"
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        while length is not None and len(body) < int(length[1]):
            body += (more := await stream.receive_some())
            assert more
        request = head + b"\r\n\r\n" + body
        self.requests.append(request.decode())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            await answer(stream)
        except trio.BrokenResourceError:
            pass  # the other side has heard enough
        finally:
            await stream.aclose()

    @property
    def paths(self) -> list[str]:
        return [request.split()[1] for request in self.requests]


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[HttpServer]:
    server = HttpServer(*answers)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def asking(
    *answers: Answer, limit_seconds: float = 5, now: Callable[[], float] = time.time
) -> AsyncIterator[tuple[HttpServer, Ownership]]:
    """An Architect that answers so, and an Ownership that asks it."""
    async with serving(*answers) as server:
        settings = load_settings({}, architect_url=server.url)
        async with open_ownership(settings, limit_seconds=limit_seconds, now=now) as ownership:
            assert ownership is not None
            yield server, ownership


def head(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", "Connection: close", *headers, "", ""]).encode()


def says(body: str, status: int = 200, *headers: str) -> Answer:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(head(status, f"Content-Length: {len(body)}", *headers) + body.encode())

    return answer


async def never(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def drips(stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, "Content-Length: 100000"))
    while True:
        await stream.send_all(b" ")
        await trio.sleep(SHORT_SECONDS / 20)


async def drips_headers(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 X\r\n")
    while True:
        await stream.send_all(b"X: x\r\n")
        await trio.sleep(SHORT_SECONDS / 20)


async def floods(stream: trio.SocketStream) -> None:
    await stream.send_all(head(200))
    while True:
        await stream.send_all(b'{"user_id": "u1"}' + b" " * 65_536)


async def hangs_up(stream: trio.SocketStream) -> None:
    return


async def cuts_short(stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, "Content-Length: 100") + b'{"user_id": "u1"}')


async def speaks_no_http(stream: trio.SocketStream) -> None:
    await stream.send_all(b"\x16\x03\x01 hello\r\n\r\n")


OWNED = says('{"user_id": "u1", "name": "mine"}')


async def test_the_owner_is_asked_of_architect_with_couriers_own_service_token() -> None:
    async with serving(OWNED) as server:
        settings = load_settings({}, architect_url=server.url + "/api/")
        async with open_ownership(settings) as ownership:
            assert ownership is not None
            assert await ownership.owner_of("s-1") == "u1"
    assert server.paths == ["/api/strategies/s-1"]
    [token] = [
        line.split()[-1] for line in server.requests[0].splitlines() if line.startswith("Authorization:")
    ]
    assert (await Verifier(settings).service(token)).name == "courier"


async def test_the_id_of_a_strategy_is_escaped_in_the_url_that_architect_is_asked_at() -> None:
    async with asking(OWNED) as (server, ownership):
        assert await ownership.owner_of("urn:x|a@b+c~d") == "u1"
    assert server.paths == ["/strategies/urn%3Ax%7Ca%40b%2Bc~d"]


async def test_a_strategy_that_architect_does_not_know_has_no_owner() -> None:
    async with asking(says("<h1>Not here</h1>", 404)) as (_, ownership):
        assert await ownership.owner_of("s1") is None


async def test_answers_are_remembered_and_so_is_that_there_is_no_such_strategy() -> None:
    async with asking(OWNED, says("", 404)) as (server, ownership):
        assert [await ownership.owner_of("s1") for _ in range(3)] == ["u1"] * 3
        assert [await ownership.owner_of("s2") for _ in range(3)] == [None] * 3
    assert server.paths == ["/strategies/s1", "/strategies/s2"]


@pytest.mark.parametrize(
    "answer",
    [
        never,
        drips,
        drips_headers,
        floods,
        hangs_up,
        cuts_short,
        speaks_no_http,
        says("{}", 500),
        says("{}", 503),
        says("{}", 401),
        says("{}", 204),
        says('{"user_id": "u1"'),
        says("u1"),
        says('["u1"]'),
        says("{}"),
        says('{"user_id": null}'),
        says('{"user_id": 1}'),
        says('{"user_id": ""}'),
        says("[" * 50_000),
        says('{"user_id": "u1"}' + " " * MAX_ANSWER_BYTES),
    ],
)
async def test_no_answer_is_unknown_and_is_asked_again(answer: Answer) -> None:
    with trio.fail_after(5):
        async with asking(answer, OWNED, limit_seconds=SHORT_SECONDS) as (_, ownership):
            with pytest.raises(AccessUnknown):
                await ownership.owner_of("s1")
            assert await ownership.owner_of("s1") == "u1"


async def test_an_answer_without_an_end_is_cut_off_by_its_size_long_before_its_time() -> None:
    with trio.fail_after(5):
        async with asking(floods, limit_seconds=60) as (_, ownership):
            with pytest.raises(AccessUnknown):
                await ownership.owner_of("s1")


async def test_a_redirect_is_no_answer_and_is_not_followed() -> None:
    async with asking(says("", 302, "Location: /strategies/mine"), OWNED) as (server, ownership):
        with pytest.raises(AccessUnknown):
            await ownership.owner_of("s1")
    assert server.paths == ["/strategies/s1"]


async def test_nobody_listening_is_no_answer() -> None:
    async with serving(OWNED) as server:
        pass
    async with open_ownership(load_settings({}, architect_url=server.url)) as ownership:
        assert ownership is not None
        with pytest.raises(AccessUnknown):
            await ownership.owner_of("s1")


async def test_all_who_ask_for_one_strategy_at_once_share_one_request() -> None:
    asked, released = trio.Event(), trio.Event()

    async def when_released(stream: trio.SocketStream) -> None:
        asked.set()
        await released.wait()
        await OWNED(stream)

    answers: list[str | None] = []
    async with asking(when_released, limit_seconds=10) as (server, ownership):

        async def ask() -> None:
            answers.append(await ownership.owner_of("s1"))

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(ask)
                await asked.wait()
                await wait_all_tasks_blocked()
                released.set()
    assert answers == ["u1"] * 5
    assert len(server.requests) == 1


async def test_all_who_wait_for_no_answer_learn_it_together() -> None:
    unknown: list[float] = []
    async with asking(never, limit_seconds=SHORT_SECONDS) as (server, ownership):

        async def ask() -> None:
            with pytest.raises(AccessUnknown):
                await ownership.owner_of("s1")
            unknown.append(trio.current_time())

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(ask)
    assert len(unknown) == 5
    assert max(unknown) - min(unknown) < SHORT_SECONDS
    assert len(server.requests) == 1


async def test_an_asker_that_leaves_costs_the_others_nothing() -> None:
    asked, released = trio.Event(), trio.Event()

    async def when_released(stream: trio.SocketStream) -> None:
        asked.set()
        await released.wait()
        await OWNED(stream)

    answers: list[str | None] = []
    async with asking(when_released, limit_seconds=10) as (server, ownership):

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                answers.append(await ownership.owner_of("s1"))

        first = trio.CancelScope()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, first)
                await asked.wait()
                nursery.start_soon(ask, trio.CancelScope())
                await wait_all_tasks_blocked()
                first.cancel()
                await wait_all_tasks_blocked()
                released.set()
    assert "u1" in answers
    assert len(server.requests) == 1


async def test_couriers_token_is_used_until_near_its_end_and_then_made_anew() -> None:
    clock = [1_000_000.0]
    async with asking(OWNED, now=lambda: clock[0]) as (server, ownership):
        for number, seconds in enumerate((0, 239, 1)):
            clock[0] += seconds
            await ownership.owner_of(f"s{number}")
    tokens = [request.split("Bearer ")[1].split()[0] for request in server.requests]
    assert tokens[0] == tokens[1] != tokens[2]
    ends = jwt.decode(
        tokens[2], DEVELOPMENT_SECRET, algorithms=["HS256"], options={"verify_exp": False}
    )["exp"]  # fmt: skip
    assert ends == 1_000_240 + 300


async def test_without_an_architect_there_is_no_ownership() -> None:
    async with open_ownership(load_settings({})) as ownership:
        assert ownership is None


def test_an_answer_is_remembered_for_its_seconds_and_then_forgotten() -> None:
    answers = Answers(seconds=60)
    answers.put("s1", "u1", now=100.0)
    assert answers.get("s1", now=159.9) == "u1"
    with pytest.raises(KeyError):
        answers.get("s1", now=160.0)
    with pytest.raises(KeyError):
        answers.get("s2", now=100.0)


def test_no_more_answers_are_remembered_than_there_may_be_and_the_oldest_goes_first() -> None:
    answers = Answers(size=2)
    answers.put("s1", "u1", now=0.0)
    answers.put("s2", None, now=1.0)
    answers.put("s1", "u9", now=2.0)
    answers.put("s3", "u3", now=3.0)
    assert len(answers) == 2
    assert (answers.get("s1", 4.0), answers.get("s3", 4.0)) == ("u9", "u3")
