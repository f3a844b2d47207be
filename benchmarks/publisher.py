"""Publisher: one keep-alive HTTP connection of the load client that publishes numbered events."""

import select
import socket
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter_ns

from benchmarks.errors import LoadError
from benchmarks.tape import Mark, event

_SEND_SECONDS = 10.0


class Publisher:
    """Publishes an event at each `publish` and reads the receipts; anything but a 200 is a LoadError.

    `answered` is called once for each receipt. When the server ends the connection after a receipt, as
    Hypercorn does after its thousandth, another takes its place.
    """

    def __init__(
        self,
        number: int,
        connect: Callable[["Publisher"], socket.socket],
        answered: Callable[["Publisher"], None],
    ) -> None:
        self.intended: defaultdict[str, list[int]] = defaultdict(list)
        """For each channel and event, when it was meant to be sent (`perf_counter_ns`)."""
        self.delays: list[int] = []
        """For each event, how many nanoseconds later it was sent."""
        self._number = number
        self._connect = connect
        self._answered = answered
        self._unanswered = 0
        self._received = b""
        self._sock = connect(self)

    def publish(self, channel: str, size: int, intended: int) -> None:
        """Send one event of `size` bytes to `channel`; its receipt comes later."""
        body = event(Mark(self._number, len(self.intended[channel])), size)
        self._send(
            b"POST /publish/%b HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Service-Name: benchmark\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (channel.encode(), len(body), body)
        )
        self._unanswered += 1
        self.intended[channel].append(intended)
        self.delays.append(perf_counter_ns() - intended)

    def on_readable(self) -> None:
        """Take what has come: receipts, or the end of the connection."""
        data = self._sock.recv(64 * 1024)
        self._received += data
        last = not data
        while (answer := _answer(self._received)) is not None:
            head, size = answer
            if not head.startswith(b"http/1.1 200"):
                raise LoadError("a publish was refused: " + self._received[:size].decode("utf-8", "replace"))
            self._received = self._received[size:]
            self._unanswered -= 1
            self._answered(self)
            last = last or b"\r\nconnection: close" in head
        if last and self._unanswered:
            raise LoadError("the server left a publish unanswered")
        if last:
            self._reconnect()

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


def _answer(data: bytes) -> tuple[bytes, int] | None:
    """The head of the first answer, in lower case, and the size of it all; None while some is missing."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = data[:end].lower()
    _, found, length = head.partition(b"\r\ncontent-length:")
    if not found:
        raise LoadError("an answer without Content-Length")
    size = end + int(length.partition(b"\r\n")[0])
    return (head, size) if len(data) >= size else None
