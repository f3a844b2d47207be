"""What Chevalier publishes of one strategy, with amounts that a test knows, ten seconds apart."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from courier_client import events

Event = tuple[str, str, Any]
Direction = Literal["buy", "sell"]

IDS = {"strategy_id": "s1", "user_id": "blaise"}


def timed(trades: Iterable[Event]) -> list[Event]:
    """The same, the first of them at nine o'clock."""
    nine = datetime(2026, 1, 5, 9, tzinfo=UTC)
    return [
        (channel, kind, {**data, "timestamp": nine + place * timedelta(seconds=10)})
        for place, (channel, kind, data) in enumerate(trades)
    ]


def deployed(capital: float) -> Event:
    return events.strategy_deployed(
        **IDS, name="Dip buyer", initial_capital=capital, token_pair="SOL/ETH", status="active"
    )


def signalled(name: str, token: str, direction: Direction, confidence: float, price: float) -> Event:
    return events.trade_signal_generated(
        **IDS,
        signal_id=name,
        token=token,
        direction=direction,
        confidence=confidence,
        reason="RSI above 70" if direction == "sell" else "RSI below 30",
        price_at_signal=price,
    )


def placed(order: str, token: str, direction: Direction, amount: float, limit: float | None = None) -> Event:
    return events.trade_order_placed(
        **IDS,
        order_id=order,
        token=token,
        direction=direction,
        order_type="market" if limit is None else "limit",
        amount=amount,
        limit_price=limit,
    )


def filled(order: str, amount: float, price: float, fees: float) -> Event:
    return events.trade_order_filled(
        **IDS,
        order_id=order,
        token="SOL",
        direction="buy",
        fill_price=price,
        fill_amount=amount,
        total_value=amount * price,
        fees=fees,
        tx_signature="tx",
    )


def cancelled(order: str) -> Event:
    return events.trade_order_cancelled(**IDS, order_id=order, token="ETH", reason="Nobody bought")


def failed(order: str) -> Event:
    return events.trade_order_failed(
        **IDS, order_id=order, token="BTC", error_code="NO_FUNDS", message="Not enough USDC"
    )


def opened(position: str, token: str, size: float, price: float) -> Event:
    return events.position_opened(
        **IDS, position_id=position, token=token, entry_price=price, size=size, tx_signature="tx"
    )


def updated(position: str, token: str, price: float, pnl: float, percent: float) -> Event:
    return events.position_updated(
        **IDS,
        position_id=position,
        token=token,
        current_price=price,
        unrealized_pnl=pnl,
        unrealized_pnl_percentage=percent,
    )


def closed(position: str, token: str, pnl: float) -> Event:
    return events.position_closed(
        **IDS,
        position_id=position,
        token=token,
        entry_price=101.0,
        exit_price=106.0,
        size=0.8,
        realized_pnl=pnl,
        realized_pnl_percentage=4.95,
        reason="take_profit",
        tx_signature="tx",
    )
