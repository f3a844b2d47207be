"""Prophet: writes strategies, a few words at a time, as a model does."""

from itertools import count, cycle

from courier_client import CourierClient, events

from examples.lumiere.ids import new_id
from examples.lumiere.pace import Pace

ANSWERS = (
    (
        "SOL has been falling for nine days while its volume grew. That is where the last three rebounds "
        "began. I would buy the dip in thirds, take four percent, and leave at minus two.",
        "strategy dip_buyer {\n  buy  when rsi(14) < 30 and volume rises\n  sell at +4 % or -2 %\n}",
    ),
    (
        "Your last run made its money in the first hour after the open and gave it back at noon. So let us "
        "trade the morning only, and follow the trend instead of guessing its end.",
        "strategy morning_trend {\n  only before 12:00\n  buy  when ema(20) crosses above ema(50)\n"
        "  sell when ema(20) crosses below ema(50)\n}",
    ),
    (
        "ETH and BTC have moved apart by more than two deviations, which they did eleven times this year. "
        "Ten of these closed within a day. Buy the one that lags, with half the usual size.",
        "strategy lagging_pair {\n  buy  when zscore(ETH / BTC, 48) < -2\n"
        "  sell when zscore(ETH / BTC, 48) > 0\n}",
    ),
)
WORDS_A_CHUNK = 2
TROUBLE_EVERY = 5


async def advise(courier: CourierClient, user: str, pace: Pace) -> None:
    """One conversation after the other, until it is cancelled."""
    for number, (answer, tsdl) in zip(count(1), cycle(ANSWERS), strict=False):
        conversation = new_id("conv")
        if number % TROUBLE_EVERY == 0:
            failed = events.prophet_error(
                user_id=user,
                conversation_id=conversation,
                error_code="MODEL_BUSY",
                message="The model is busy; the question waits its turn.",
            )
            await courier.publish(*failed)
            await pace.pause(6)
        await write(courier, user, conversation, answer, pace)
        ready = events.prophet_tsdl_ready(
            user_id=user, conversation_id=conversation, tsdl=tsdl, metadata={"lines": tsdl.count("\n") + 1}
        )
        await courier.publish(*ready)
        await pace.pause(9)


async def write(courier: CourierClient, user: str, conversation: str, answer: str, pace: Pace) -> None:
    """The answer in chunks, each behind the one before: one task's publishes keep their order."""
    words = answer.split()
    for start in range(0, len(words), WORDS_A_CHUNK):
        chunk = events.prophet_message_chunk(
            user_id=user,
            conversation_id=conversation,
            chunk=" ".join(words[start : start + WORDS_A_CHUNK]) + " ",
            is_final=start + WORDS_A_CHUNK >= len(words),
        )
        await courier.publish(*chunk)
        await pace.pause(0.18)
