"""A crowd: what it notices of a server, and what it needs of the system."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from benchmarks import crowd as module
from benchmarks import frames
from benchmarks.apart import apart
from benchmarks.crowd import Crowd, answer_pings, require_descriptors
from benchmarks.errors import LoadError

SECRET = "a secret of thirty-two bytes or more"


@contextmanager
def answering(*answers: bytes | None) -> Iterator[int]:
    """A server that answers each handshake in turn, None for the right answer, and then closes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                sock, _ = listener.accept()
                with sock:
                    asked = sock.recv(4096)
                    seen.append(asked)
                    key = asked.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
                    sock.sendall(frames.upgraded(key) if answer is None else answer)

        seen.clear()
        listener.settimeout(10)
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


seen: list[bytes] = []


def lines(start: bytes) -> set[bytes]:
    return {line for asked in seen for line in asked.split(b"\r\n") if line.startswith(start)}


def test_keys_tokens_and_users_differ_and_channels_take_turns() -> None:
    with answering(None, None, None) as port, Crowd(port, SECRET, 3, ["global", "user.u1"]) as crowd:
        crowd.join(in_flight=2)
        assert [channel for channel, _, _ in crowd.members()] == ["global", "user.u1", "global"]
    assert len(lines(b"Sec-WebSocket-Key: ")) == 3
    assert len({line.partition(b"?token=")[2] for line in lines(b"GET ")}) == 3


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "closed a connection"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused: HTTP/1.1 403"),
        (frames.upgraded(), "refused: HTTP/1.1 101"),
    ],
    ids=["nothing", "refused", "the answer to another key"],
)
def test_a_join_that_is_not_let_in_ends_the_measurement(answer: bytes, sentence: str) -> None:
    with (
        answering(None, answer) as port,
        Crowd(port, SECRET, 2, ["global"]) as crowd,
        pytest.raises(LoadError, match=sentence),
    ):
        crowd.join(in_flight=2)


def test_what_follows_a_101_is_kept_for_the_subscriber() -> None:
    event = frames.text(b"{}")
    answer = frames.upgraded(frames.key_of(0)) + event
    with answering(answer) as port, Crowd(port, SECRET, 1, ["global"]) as crowd:
        crowd.join(in_flight=1)
        assert [rest for _, _, rest in crowd.members()] == [event]


def test_those_that_the_server_closed_are_counted_when_the_crowd_leaves() -> None:
    with answering(None, None) as port, Crowd(port, SECRET, 2, ["global"]) as crowd:
        crowd.join(in_flight=1)
        for _, sock, _ in crowd.members():
            sock.settimeout(10)
            sock.recv(1, socket.MSG_PEEK)
        assert crowd.leave(rate=1000) == 2


def test_pings_are_answered_with_what_they_bore_and_an_end_behind_them_is_seen() -> None:
    server, client = socket.socketpair()
    with server, client:
        server.sendall(b"\x89\x04abcd" + frames.text(b"ping") + frames.text(b"{}"))
        assert answer_pings(client)
        assert server.recv(100) == b"\x8a\x84\0\0\0\0abcd" + frames.PONG_TEXT
        server.sendall(frames.text(b"{}"))
        server.shutdown(socket.SHUT_WR)
        assert not answer_pings(client)


def test_replacements_take_the_places_of_those_who_have_been_there_longest() -> None:
    with (
        answering(None, None, None, None, None) as port,
        Crowd(port, SECRET, 3, ["global"], replacements=2) as crowd,
    ):
        crowd.join(in_flight=2)
        first = [sock for _, sock, _ in crowd.members()]
        crowd.replace(in_flight=2)
        second = [sock for _, sock, _ in crowd.members()]
        assert second[0] is first[2]
        assert [sock.fileno() for sock in first[:2]] == [-1, -1]
        assert len(second) == 3
    assert len(lines(b"Sec-WebSocket-Key: ")) == 5


def test_joins_come_no_sooner_than_at_their_rate() -> None:
    with answering(None, None, None) as port, Crowd(port, SECRET, 3, ["global"]) as crowd:
        assert crowd.join(in_flight=3, rate=20).seconds >= 0.1


def test_with_more_than_the_ports_of_an_address_another_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ports", lambda: 1)
    with answering(None, None) as port, Crowd(port, SECRET, 2, ["global"]) as crowd:
        crowd.join(in_flight=1)
        hosts = [sock.getsockname()[0] for _, sock, _ in crowd.members()]
    assert hosts == ["127.0.0.1", "127.0.0.2"]


def test_too_low_a_limit_is_a_sentence_with_what_would_be_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    require_descriptors(3796)
    with pytest.raises(LoadError, match=r"only 4,096 here: .* --connections 3796$"):
        require_descriptors(3797)


def test_what_goes_wrong_in_another_process_is_told_in_this_one() -> None:
    with answering(b"") as port, apart(port, SECRET, 1, ["global"]) as crowd:
        crowd.join(1, 100)
        with pytest.raises(LoadError, match="closed a connection"):
            while not crowd.done():
                pass
