"""Ledger: what the receipts of a run say together, for events that nobody subscribed to."""

import re

from benchmarks.tape import Faults

_RECEIPT = re.compile(rb'"channel": ?"([^"]+)"[^{}]*?"id": ?"([a-z0-9]+)-([0-9]+)"')


class Ledger:
    """For each channel the epoch, and how many positions were told; none may be missing or told twice."""

    def __init__(self) -> None:
        self._told: dict[bytes, tuple[bytes, int, int, int]] = {}
        """For each channel: epoch, how many offsets, their highest, their sum."""
        self._epochs = 0
        """How often an epoch was another than that of the channel's receipt before."""

    def note(self, body: bytes) -> None:
        """Take down what one answer says; one without positions, as other servers give it, says nothing."""
        for channel, epoch, digits in _RECEIPT.findall(body):
            offset = int(digits)
            before, count, highest, total = self._told.get(channel, (epoch, 0, 0, 0))
            self._epochs += epoch != before
            self._told[channel] = (epoch, count + 1, max(highest, offset), total + offset)

    @property
    def faults(self) -> Faults:
        """Channels whose offsets are not 1 to n, once each; meant for when no receipt is on its way."""
        wrong = sum(
            not (count == highest and total == highest * (highest + 1) // 2)
            for _, count, highest, total in self._told.values()
        )
        return Faults(misnumbered=wrong + self._epochs)

    def beginning(self, channel: str) -> str | None:
        """The position before the channel's first event; None when no receipt told one."""
        told = self._told.get(channel.encode())
        return None if told is None else f"{told[0].decode()}-0"
