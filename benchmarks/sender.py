"""Sender: a server that does nothing but send. What it reaches, and the client with it, is the ceiling.

It believes every token and every event, makes the frame of an event once, and gives it to each subscriber by
one `send`; with `--join`, events that came together leave together, as Courier's do.
"""

import argparse
import selectors
import socket
from collections import defaultdict

from benchmarks import frames

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
_PUBLISHED = b'{"status":"published","published":%d,"failed":0,"results":[]}'


class Sender:
    """Serves on one loopback port until the process ends."""

    def __init__(self, port: int, *, join: bool) -> None:
        self._join = join
        self._subscribers: defaultdict[bytes, list[socket.socket]] = defaultdict(list)
        self._offsets: defaultdict[bytes, int] = defaultdict(int)
        self._waiting: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._received: defaultdict[socket.socket, bytes] = defaultdict(bytes)
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve, for ever."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._selector.register(self._listener.accept()[0], selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
            for channel, waiting in self._waiting.items():
                for data in [b"".join(waiting)] if self._join else waiting:
                    self._fan_out(channel, data)
            self._waiting.clear()

    def _read(self, sock: socket.socket) -> None:
        data = sock.recv(256 * 1024)
        if not data:
            self._selector.unregister(sock)
            self._received.pop(sock, None)
            sock.close()
            return
        data = self._received[sock] + data
        while b"\r\n\r\n" in data:
            head, _, rest = data.partition(b"\r\n\r\n")
            size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < size:
                break
            data = rest[size:]
            self._answer(sock, head, rest[:size])
        self._received[sock] = data

    def _answer(self, sock: socket.socket, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        kind, _, channel = path.partition(b"?")[0].strip(b"/").partition(b"/")
        if kind == b"ws":
            self._selector.unregister(sock)
            self._subscribers[channel].append(sock)
            key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            sock.sendall(frames.upgraded(key))
            return
        if channel == b"batch":
            answer = _PUBLISHED % body.count(b'{"channel":"')
            sock.sendall(_ANSWER % (len(answer), answer))
            return
        sock.sendall(_ANSWER % (0, b""))
        if kind == b"publish" and self._subscribers[channel]:
            self._offsets[channel] += 1
            frame = b'{"id":"ceiling0-%d","channel":"%b",%b' % (self._offsets[channel], channel, body[1:])
            self._waiting[channel].append(frames.text(frame))

    def _fan_out(self, channel: bytes, data: bytes) -> None:
        try:
            for sock in self._subscribers[channel]:
                sock.sendall(data)
        except ConnectionError:
            for sock in self._subscribers.pop(channel):
                sock.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--join", action="store_true")
    options = parser.parse_args()
    Sender(options.port, join=options.join).run()
