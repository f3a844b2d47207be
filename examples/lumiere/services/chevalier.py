"""Chevalier: trades a strategy that is deployed: signals, orders, fills, positions until they are closed."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from courier_client import CourierClient, events

from examples.lumiere.ids import new_id
from examples.lumiere.pace import Pace

CAPITAL = 25_000.0
PRICES = {"SOL": 152.4, "ETH": 3120.0, "BTC": 64_250.0}
STAKE = 0.2
"""The share of the capital that a position is worth."""
FEE = 0.0004
TAKE_PROFIT = 0.016
STOP_LOSS = -0.009
TRADES = 6
"""So many of each token, and the strategy is stopped and the next one deployed."""


@dataclass
class Strategy:
    """One that is deployed, and what it has made so far."""

    courier: CourierClient
    user: str
    pace: Pace
    name: str
    capital: float
    chance: Random
    id: str = field(default_factory=lambda: new_id("strategy"))
    made: float = 0.0

    async def run(self) -> None:
        """From `deployed` to `stopped`, all tokens at a time."""
        deployed = events.strategy_deployed(
            strategy_id=self.id,
            user_id=self.user,
            name=self.name,
            initial_capital=round(self.capital, 2),
            token_pair="/".join(PRICES),
            status="active",
        )
        await self.courier.publish(*deployed)
        async with asyncio.TaskGroup() as group:
            for place, token in enumerate(PRICES):
                group.create_task(self._trade(token, place))
        stopped = events.strategy_stopped(strategy_id=self.id, user_id=self.user, reason="Its day is over")
        await self.courier.publish(*stopped)

    async def _trade(self, token: str, place: int) -> None:
        price = PRICES[token]
        await self.pace.pause(1 + 2.5 * place)
        for number in range(1, TRADES + 1):
            size = round(self.capital * STAKE / price, 4)
            if number % 4 == place + 1:
                await self._order_that_comes_to_nothing(token, size, price)
                await self.pace.pause(2)
            price = await self._hold(token, size, price)
            await self.pace.pause(self.chance.uniform(2, 5))

    async def _hold(self, token: str, size: float, price: float) -> float:
        """One position, from the signal that opens it to the order that closes it; the price at its end."""
        await self._order(token, "buy", size, price, "RSI below 30")
        position = new_id("position")
        opened = events.position_opened(
            strategy_id=self.id,
            user_id=self.user,
            position_id=position,
            token=token,
            entry_price=price,
            size=size,
            tx_signature=new_id("tx"),
        )
        await self.courier.publish(*opened)
        now, gain = price, 0.0
        for _ in range(30):
            await self.pace.pause(self.chance.uniform(0.5, 0.9))
            now = round(now * (1 + self.chance.gauss(0.0005, 0.0016)), 2)
            gain = now / price - 1
            updated = events.position_updated(
                strategy_id=self.id,
                user_id=self.user,
                position_id=position,
                token=token,
                current_price=now,
                unrealized_pnl=round((now - price) * size, 2),
                unrealized_pnl_percentage=round(gain * 100, 2),
            )
            await self.courier.publish(*updated)
            if not STOP_LOSS < gain < TAKE_PROFIT:
                break
        await self._order(
            token, "sell", size, now, "The target is reached" if gain > 0 else "The floor is reached"
        )
        pnl = round((now - price) * size, 2)
        self.made += pnl
        closed = events.position_closed(
            strategy_id=self.id,
            user_id=self.user,
            position_id=position,
            token=token,
            entry_price=price,
            exit_price=now,
            size=size,
            realized_pnl=pnl,
            realized_pnl_percentage=round(gain * 100, 2),
            reason="take_profit" if gain >= TAKE_PROFIT else "stop_loss" if gain <= STOP_LOSS else "signal",
            tx_signature=new_id("tx"),
        )
        await self.courier.publish(*closed)
        _, kind, news = events.system_announcement(self.name, f"made {pnl:+,.2f} with {token}", "info")
        await self.courier.publish(f"strategy.{self.id}", kind, news)
        return now

    async def _order(
        self, token: str, direction: Literal["buy", "sell"], size: float, price: float, reason: str
    ) -> None:
        """A signal, the order that follows it, and its fill."""
        signal = new_id("signal")
        seen = events.trade_signal_generated(
            strategy_id=self.id,
            user_id=self.user,
            signal_id=signal,
            token=token,
            direction=direction,
            confidence=round(self.chance.uniform(0.6, 0.95), 2),
            reason=reason,
            price_at_signal=price,
        )
        await self.courier.publish(*seen)
        order = new_id("order")
        placed = events.trade_order_placed(
            strategy_id=self.id,
            user_id=self.user,
            order_id=order,
            signal_id=signal,
            token=token,
            direction=direction,
            order_type="market",
            amount=size,
        )
        await self.courier.publish(*placed)
        await self.pace.pause(1.2)
        fees = round(size * price * FEE, 2)
        self.made -= fees
        filled = events.trade_order_filled(
            strategy_id=self.id,
            user_id=self.user,
            order_id=order,
            token=token,
            direction=direction,
            fill_price=price,
            fill_amount=size,
            total_value=round(size * price, 2),
            fees=fees,
            tx_signature=new_id("tx"),
        )
        await self.courier.publish(*filled)

    async def _order_that_comes_to_nothing(self, token: str, size: float, price: float) -> None:
        """A limit order that nobody meets is taken back."""
        order = new_id("order")
        placed = events.trade_order_placed(
            strategy_id=self.id,
            user_id=self.user,
            order_id=order,
            token=token,
            direction="buy",
            order_type="limit",
            amount=size,
            limit_price=round(price * 0.98, 2),
        )
        await self.courier.publish(*placed)
        await self.pace.pause(4)
        cancelled = events.trade_order_cancelled(
            strategy_id=self.id,
            user_id=self.user,
            order_id=order,
            token=token,
            reason="Nobody sold at the limit",
        )
        await self.courier.publish(*cancelled)


async def trade(courier: CourierClient, user: str, pace: Pace) -> None:
    """One strategy after the other with what the last one left, until it is cancelled."""
    chance = Random(user)
    capital = CAPITAL
    while True:
        for name in ("Dip buyer", "Morning trend", "Lagging pair"):
            strategy = Strategy(courier, user, pace, name, capital, chance)
            await strategy.run()
            capital += strategy.made
            await pace.pause(3)
