"""Rate ledger: keeps over a restart what services have published within their windows."""

from collections import Counter

import trio

from courier.backplane import BackplaneAway
from courier.backplane.admission import Ledger
from courier.web.rate_limit import RateLimiter

KEEP_SECONDS = 1.0
"""How often what was admitted is kept: so much of it may be forgotten when the process is killed."""


async def keep_rates(limiter: RateLimiter, ledger: Ledger, closing: trio.Event) -> None:
    """Give the limiter what was admitted before the start, and keep what it admits, until the node drains."""
    limiter.restore(await ledger.admitted(), trio.current_time())
    limiter.journal = Counter()
    over = False
    while not over:
        with trio.move_on_after(KEEP_SECONDS):
            await closing.wait()
            over = True
        journal, limiter.journal = limiter.journal, Counter()
        if not journal:
            continue
        now = trio.current_time()
        try:
            await ledger.count((service, now - at, events) for (service, at), events in journal.items())
        except BackplaneAway:
            limiter.journal.update(journal)  # with what comes next
