"""Cartographe: tries strategies on the past, and says how far it has come."""

from itertools import count
from random import Random
from typing import Literal

from courier_client import CourierClient, events

from examples.lumiere.ids import new_id
from examples.lumiere.pace import Pace

End = Literal["complete", "fail", "cancel"]

STAGES = (
    (0.25, "load", "Loading 90 days of prices"),
    (0.5, "simulate", "Simulating 2,160 hours"),
    (0.75, "measure", "Measuring risk"),
)
PAIRS = ("SOL/USDC", "ETH/USDC", "BTC/USDC")
FAILS_EVERY = 4
CANCELLED_EVERY = 6


async def explore(courier: CourierClient, user: str, pace: Pace) -> None:
    """One backtest after the other, until it is cancelled; some of them fail, some are cancelled."""
    chance = Random(user)
    for number in count(1):
        end: End = "complete"
        if number % FAILS_EVERY == 0:
            end = "fail"
        elif number % CANCELLED_EVERY == 0:
            end = "cancel"
        await backtest(courier, user, PAIRS[number % len(PAIRS)], chance, pace, end)
        await pace.pause(3)


async def backtest(
    courier: CourierClient, user: str, pair: str, chance: Random, pace: Pace, end: End
) -> None:
    """One backtest, from 0 % to its end; what fails or is cancelled gets no further than 50 %."""
    job, run = new_id("job"), new_id("backtest")
    started = events.backtest_started(
        backtest_id=run, job_id=job, user_id=user, parameters={"pair": pair, "days": 90}
    )
    await courier.publish(*started)
    for progress, stage, message in STAGES:
        await pace.pause(1.8)
        if progress > 0.5 and end != "complete":
            break
        step = events.backtest_progress(
            backtest_id=run, job_id=job, user_id=user, progress=progress, stage=stage, message=message
        )
        await courier.publish(*step)
    await pace.pause(1.8)
    if end == "fail":
        failed = events.backtest_failed(
            backtest_id=run,
            job_id=job,
            user_id=user,
            error_code="NO_DATA",
            message=f"No prices for {pair} on 3 of 90 days",
        )
        await courier.publish(*failed)
    elif end == "cancel":
        cancelled = events.backtest_cancelled(
            backtest_id=run,
            job_id=job,
            user_id=user,
            reason="A newer version of the strategy is there",
            progress_at_cancellation=0.5,
        )
        await courier.publish(*cancelled)
    else:
        completed = events.backtest_completed(
            backtest_id=run,
            job_id=job,
            user_id=user,
            duration_seconds=7,
            summary={
                "sharpe": round(chance.uniform(0.8, 2.4), 2),
                "return_pct": round(chance.uniform(-3, 18), 1),
            },
        )
        await courier.publish(*completed)
