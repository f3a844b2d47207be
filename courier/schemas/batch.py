"""Batch: cuts the body of a batch into its events, each as it came, without reading them.

So each is judged as it would be alone, its size included, and there can be a pause between two of them. Pure.
"""

import re
from collections.abc import Iterator

from courier.schemas.errors import TooManyEvents, batch_error

BATCH_EVENTS = 1000
"""How many events one batch may hold."""

_STEPS = 64
"""Steps between two pauses: each goes on to the next bracket, or over so many strings and what is between."""

# RFC 8259. Possessive, so that nothing is tried twice and a body takes time in proportion to its size.
_OPEN = re.compile(rb'[ \t\n\r]*+\{[ \t\n\r]*+"events"[ \t\n\r]*+:[ \t\n\r]*+\[[ \t\n\r]*+')
_STEP = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"){0,64}+[\[\]{}]?', re.DOTALL)
_FLAT = re.compile(
    rb'\{(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"|\{(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"){0,256}+\}){0,64}+\}',
    re.DOTALL,
)
"""An envelope with an event whose fields are no objects or arrays, as most are: one step and not four."""
_SCALAR = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[^"\[\]{},: \t\n\r]++', re.DOTALL)
_COMMA = re.compile(rb"[ \t\n\r]*+,[ \t\n\r]*+")
_CLOSE = re.compile(rb"[ \t\n\r]*+\][ \t\n\r]*+\}[ \t\n\r]*+\Z")

_DEEPER = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def cut_batch(body: bytes, events: list[bytes]) -> Iterator[None]:
    """Append to `events` what `{"events": […]}` holds, in order; yields wherever there may be a pause.

    The events are whole, not right: each may still be no JSON. Raises JsonError when `body` is no such
    object, TooManyEvents when it has more than `BATCH_EVENTS`.
    """
    opened = _OPEN.match(body)
    if opened is None:
        raise batch_error(body)
    at = opened.end()
    if _CLOSE.match(body, at):
        return
    while True:
        start, depth, steps = at, 0, 0
        if flat := _FLAT.match(body, at):
            at = flat.end()
        elif body[at : at + 1] in (b"{", b"["):
            while depth or at == start:
                step = _STEP.match(body, at)
                if step is None or step.end() == at:
                    raise batch_error(body)
                at = step.end()
                depth += _DEEPER.get(body[at - 1], 0)
                steps += 1
                if steps % _STEPS == 0:
                    yield
        else:
            scalar = _SCALAR.match(body, at)
            if scalar is None:
                raise batch_error(body)
            at = scalar.end()
        if len(events) == BATCH_EVENTS:
            raise TooManyEvents(f"Batch has more than {BATCH_EVENTS} events")
        events.append(body[start:at])
        yield
        comma = _COMMA.match(body, at)
        if comma is not None:
            at = comma.end()
        elif _CLOSE.match(body, at):
            return
        else:
            raise batch_error(body)
