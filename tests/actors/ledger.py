"""Ledger: what each channel's log must be, known only from receipts and from what subscribers were shown."""

from collections import defaultdict
from dataclasses import dataclass

from courier.backplane import Appended
from courier.schemas.position import Position


@dataclass
class Publication:
    """One call of publish, and how it was answered."""

    channel: int
    numbers: range
    receipts: list[Appended] | None = None
    error: Exception | None = None
    cancelled: bool = False
    holding: bool = False
    """It has got its room and not used it yet."""

    @property
    def answered(self) -> bool:
        return self.receipts is not None or self.error is not None or self.cancelled


class Ledger:
    """Every position, and the number published under it.

    Where a publisher was cancelled before it was answered, its events may be in the log or not: what a
    subscriber is shown then decides.
    """

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.events: dict[Position, int] = {}
        self.arrivals: dict[Position, int] = {}
        self.heads: dict[int, dict[str, int]] = defaultdict(dict)
        """By channel, the largest offset known of each epoch, oldest epoch first."""
        self._count = 0

    def open(self, channel: int, batch: int) -> Publication:
        """A new publication of so many numbers that nobody has had."""
        publication = Publication(channel, range(self._count, self._count + batch))
        self._count += batch
        self.publications.append(publication)
        return publication

    def record(self, publication: Publication, receipts: list[Appended]) -> None:
        """Take the receipts of one publication: new positions, one for each number, consecutive."""
        assert len(receipts) == len(publication.numbers)
        first = receipts[0].position
        for index, (number, receipt) in enumerate(zip(publication.numbers, receipts, strict=True)):
            assert receipt.position == Position(first.epoch, first.offset + index), "a batch was torn"
            assert receipt.position not in self.events, f"{receipt.position} was given twice"
            self._enter(publication.channel, receipt.position, number)
            self.arrivals[receipt.position] = receipt.arrived_ms

    def shown(self, channel: int, position: Position, number: int) -> None:
        """Take what a subscriber was shown: the number of that position, or one that nobody knew of."""
        if position in self.events:
            assert self.events[position] == number, f"{position} is {self.events[position]} and {number}"
            return
        open_ones = (one for one in self.publications if one.cancelled and one.channel == channel)
        assert any(number in one.numbers for one in open_ones), f"{number} at {position} was not acknowledged"
        self._enter(channel, position, number)

    def _enter(self, channel: int, position: Position, number: int) -> None:
        self.events[position] = number
        heads = self.heads[channel]
        heads[position.epoch] = max(heads.get(position.epoch, 0), position.offset)

    def check(self) -> None:
        """Offsets count up by one, arrivals never go back, nothing is there twice, what failed is nowhere."""
        numbers = set(self.events.values())
        assert len(numbers) == len(self.events), "an event is in a log twice"
        failed = {number for one in self.publications if one.error is not None for number in one.numbers}
        assert not numbers & failed, "an event that was answered as failed is in a log"
        missing = 0
        for heads in self.heads.values():
            for epoch, head in heads.items():
                known = [place for n in range(1, head + 1) if (place := Position(epoch, n)) in self.events]
                missing += head - len(known)
                arrivals = [self.arrivals[place] for place in known if place in self.arrivals]
                assert arrivals == sorted(arrivals), "arrivals went back"
        unknown = {number for one in self.publications if one.cancelled for number in one.numbers}
        assert missing <= len(unknown - numbers), "there is a hole in the offsets"
