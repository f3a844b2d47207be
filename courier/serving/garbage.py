"""Garbage: keeps the pauses of the garbage collector short, however many connections come and go.

The collector stops the process for about a millisecond for each two thousand objects that it walks. By itself
it walks the young ones when 5,000 more have been made than freed. While as many connections go as come, that
number stays where it is, and the young ones pile up; so the connections that come are counted here.
"""

import gc

COLLECTED_AFTER = 5_000, 5, 2_000
"""The thresholds. The first two keep the collector to 25,000 objects at a time. All of them it walks after
50 million new ones at the soonest: neither events nor closed connections leave it anything."""

MOST_YOUNG = 8_000
"""After about so many objects of new connections the young ones are walked, and are young no more."""

_young = 0


def start() -> None:
    """Never walk again what is there now, and set the thresholds."""
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


def made(objects: int) -> None:
    """About so many objects have been made that live as long as their connection."""
    global _young
    _young += objects
    if _young >= MOST_YOUNG:
        _young = 0
        gc.collect(1)
