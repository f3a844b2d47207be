"""Pulse: how late the event loop is, as a task finds it that does nothing but sleep."""

import trio

BEAT_SECONDS = 0.1
REMEMBERED_SECONDS = 10.0


class Pulse:
    """Wakes ten times a second and notes how late; `beat` is the task."""

    def __init__(self) -> None:
        self._expected = trio.current_time() + BEAT_SECONDS
        self._slices = [0.0] * 2
        """The worst of the running half of `REMEMBERED_SECONDS`, and of the one before."""
        self._slice_ends = trio.current_time() + REMEMBERED_SECONDS / 2

    async def beat(self) -> None:
        """Note it for ever."""
        while True:
            await trio.sleep_until(self._expected)
            self.note(trio.current_time())

    def note(self, now: float) -> None:
        """It has been woken: next time it should be a beat later."""
        if now >= self._slice_ends:
            self._slices = [0.0, self._slices[0]]
            self._slice_ends = now + REMEMBERED_SECONDS / 2
        self._slices[0] = max(self._slices[0], now - self._expected)
        self._expected = now + BEAT_SECONDS

    def worst_seconds(self, now: float) -> float:
        """The latest that it was in the last five to ten seconds, or is now."""
        return max(*self._slices, now - self._expected)
