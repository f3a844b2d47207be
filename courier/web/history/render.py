"""Render: a page of history as JSON."""

from collections.abc import Iterator

from courier.actors.frames import event_json
from courier.schemas.position import Position
from courier.web.history.page import Page

PIECE_BYTES = 64 * 1024
"""About how much of an answer is made at a time."""


def size_of(channel: str, page: Page) -> int:
    """How many bytes the answer has."""
    begin, end = _around(channel, page.position, complete=page.complete, more=page.more)
    # An event's JSON is its head and the event, less the brace that both have.
    heads = sum(len(event_json(one.position, channel, b"")) for one in page.records)
    events = sum(len(one.event) - 1 for one in page.records)
    return len(begin) + heads + events + max(0, len(page.records) - 1) + len(end)


def pieces_of(channel: str, page: Page) -> Iterator[bytes]:
    """The answer in pieces of about `PIECE_BYTES`, each made when the one before it has been sent."""
    begin, end = _around(channel, page.position, complete=page.complete, more=page.more)
    piece = bytearray(begin)
    for place, record in enumerate(page.records):
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
        if place:
            piece += b","
        piece += event_json(record.position, channel, record.event)
    yield bytes(piece + end)


def body_of(channel: str, page: Page) -> bytes:
    """The whole answer."""
    return b"".join(pieces_of(channel, page))


def body_around(
    channel: str, events: list[bytes], position: Position | str, *, complete: bool, more: bool
) -> bytes:
    """The whole answer round events that are JSON already."""
    begin, end = _around(channel, position, complete=complete, more=more)
    return b"%b%b%b" % (begin, b",".join(events), end)


def _around(channel: str, position: Position | str, *, complete: bool, more: bool) -> tuple[bytes, bytes]:
    """What stands before the events and after them."""
    begin = b'{"channel":"%b","position":"%b","events":[' % (channel.encode(), str(position).encode())
    words = (b"true" if holds else b"false" for holds in (complete, more))
    return begin, b'],"complete":%b,"more":%b}' % tuple(words)
