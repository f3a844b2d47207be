"""Publisher: one keep-alive HTTP connection of the load client that publishes numbered events."""

import select
import socket
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from time import perf_counter_ns

from benchmarks.errors import LoadError
from benchmarks.tape import SERVICE, Mark, event

_SEND_SECONDS = 10.0


class Publisher:
    """Publishes at each `publish` and reads the receipts; a refusal, also within a batch, is a LoadError.

    `answered` is called for each receipt, with its body. When the server ends the connection after a receipt,
    as Hypercorn does after its thousandth, another takes its place.
    """

    def __init__(
        self,
        number: int,
        token: str,
        connect: Callable[["Publisher"], socket.socket],
        answered: Callable[["Publisher", int, bytes], None],
    ) -> None:
        self.intended: defaultdict[str, list[int]] = defaultdict(list)
        """For each channel and event, when it was meant to be sent (`perf_counter_ns`)."""
        self.delays: list[int] = []
        """For each event, how many nanoseconds later it was sent."""
        self._number = number
        self._headers = (
            b"Host: 127.0.0.1\r\nX-Service-Name: %b\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\n" % (SERVICE.encode(), token.encode())
        )
        self._connect = connect
        self._answered = answered
        self._unanswered: deque[int] = deque()
        """For each request without a receipt, how many events it bore; negative when they went as a batch."""
        self._received = b""
        self._sock = connect(self)

    def publish(self, channel: str, size: int, intended: int) -> None:
        """Send one event of `size` bytes to `channel`; its receipt comes later."""
        self._request(b"/publish/" + channel.encode(), self._event(channel, size, intended))
        self._unanswered.append(1)
        self.delays.append(perf_counter_ns() - intended)

    def publish_batch(self, channels: Sequence[str], size: int, intended: int) -> None:
        """Send one event of `size` bytes to each of `channels`, in one request."""
        events = [
            b'{"channel":"%b","data":%b}' % (channel.encode(), self._event(channel, size, intended))
            for channel in channels
        ]
        self._request(b"/publish/batch", b'{"events":[%b]}' % b",".join(events))
        self._unanswered.append(-len(events))
        self.delays.append(perf_counter_ns() - intended)

    def on_readable(self) -> None:
        """Take what has come: receipts, or the end of the connection."""
        data = self._sock.recv(256 * 1024)
        self._received += data
        last = not data
        while (answer := _answer(self._received)) is not None:
            head, start, end = answer
            body = self._received[start:end]
            events = self._unanswered.popleft()
            if not head.startswith(b"http/1.1 20") or (events < 0 and not _whole(body, -events)):
                raise LoadError("a publish was refused: " + self._received[:1000].decode("utf-8", "replace"))
            self._received = self._received[end:]
            self._answered(self, abs(events), body)
            last = last or b"\r\nconnection: close" in head
        if last and self._unanswered:
            raise LoadError("the server left a publish unanswered")
        if last:
            self._reconnect()

    def _event(self, channel: str, size: int, intended: int) -> bytes:
        numbered = self.intended[channel]
        numbered.append(intended)
        return event(Mark(self._number, len(numbered) - 1), size)

    def _request(self, path: bytes, body: bytes) -> None:
        head = b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (path, self._headers, len(body))
        self._send(head + body)

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                if not select.select([], [self._sock], [], _SEND_SECONDS)[1]:
                    raise LoadError("the server does not read what is published") from None

    def _reconnect(self) -> None:
        self._sock.close()
        self._sock = self._connect(self)


def _answer(data: bytes) -> tuple[bytes, int, int] | None:
    """The head of the first answer, in lower case, and where its body is; None while some is missing."""
    start = data.find(b"\r\n\r\n") + 4
    if start < 4:
        return None
    head = data[:start].lower()
    _, found, length = head.partition(b"\r\ncontent-length:")
    if not found:
        raise LoadError("an answer without Content-Length")
    end = start + int(length.partition(b"\r\n")[0])
    return (head, start, end) if len(data) >= end else None


def _whole(receipt: bytes, events: int) -> bool:
    """Whether the receipt of a batch says that all its events were published."""
    start = receipt[:200].replace(b" ", b"")
    return b'"published":%d,"failed":0' % events in start
