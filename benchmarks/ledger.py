"""Ledger: what the receipts of a run say together, for events that nobody subscribed to."""

import re
from dataclasses import dataclass, field

from benchmarks.tape import Faults

_RECEIPT = re.compile(rb'"channel": ?"([^"]+)"[^{}]*?"id": ?"([a-z0-9]+)-([0-9]+)"')


@dataclass(slots=True)
class _Account:
    """The positions of one channel."""

    epoch: bytes
    told: int = 0
    """All offsets up to this one have been told."""
    ahead: set[int] = field(default_factory=set)
    """Offsets told beyond it: receipts of several connections overtake each other."""


class Ledger:
    """The positions that receipts tell: none may be told twice, and none be missing at the end."""

    def __init__(self) -> None:
        self._accounts: dict[bytes, _Account] = {}
        self._repeated = self._misnumbered = 0

    def note(self, body: bytes) -> None:
        """Take down what one answer says; one without positions, as other servers give it, says nothing."""
        for channel, epoch, digits in _RECEIPT.findall(body):
            account = self._accounts.setdefault(channel, _Account(epoch))
            offset = int(digits)
            if epoch != account.epoch:
                self._misnumbered += 1
            elif offset <= account.told or offset in account.ahead:
                self._repeated += 1
            else:
                account.ahead.add(offset)
                while account.told + 1 in account.ahead:
                    account.told += 1
                    account.ahead.remove(account.told)

    @property
    def faults(self) -> Faults:
        """What is wrong with them, a channel that lacks some counted once; for when no receipt is awaited."""
        incomplete = sum(bool(account.ahead) for account in self._accounts.values())
        return Faults(repeated=self._repeated, misnumbered=self._misnumbered + incomplete)

    def beginning(self, channel: str) -> str | None:
        """The position before the channel's first event; None when no receipt told one."""
        account = self._accounts.get(channel.encode())
        return None if account is None else f"{account.epoch.decode()}-0"
