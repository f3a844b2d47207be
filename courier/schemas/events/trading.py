"""Events of trading: the life of a strategy, of its orders and of its positions."""

from typing import Literal

from pydantic import MISSING

from courier.schemas.events.base import (
    Event,
    Fraction,
    NonNegativeNumber,
    Number,
    PositiveNumber,
)
from courier.schemas.names import Id

Direction = Literal["buy", "sell"]


class _StrategyEvent(Event):
    strategy_id: Id
    user_id: Id


class StrategyDeployed(_StrategyEvent):
    """The strategy trades from now on."""

    type: Literal["strategy.deployed"]
    name: str
    initial_capital: PositiveNumber
    token_pair: str
    status: Literal["active"]


class StrategyPaused(_StrategyEvent):
    """The strategy trades no more until it is resumed."""

    type: Literal["strategy.paused"]
    reason: str = ""


class StrategyResumed(_StrategyEvent):
    """The strategy trades again."""

    type: Literal["strategy.resumed"]
    reason: str = ""


class StrategyStopped(_StrategyEvent):
    """The strategy has ended."""

    type: Literal["strategy.stopped"]
    reason: str = ""


class SignalGenerated(_StrategyEvent):
    """The strategy sees a reason to trade."""

    type: Literal["trade.signal_generated"]
    signal_id: Id
    token: str
    direction: Direction
    confidence: Fraction
    reason: str
    price_at_signal: Number


class _OrderEvent(_StrategyEvent):
    order_id: Id
    token: str


class OrderPlaced(_OrderEvent):
    """An order is on its way; one without a signal was placed by a person."""

    type: Literal["trade.order_placed"]
    signal_id: Id | MISSING = MISSING
    direction: Direction
    order_type: Literal["market", "limit"]
    amount: PositiveNumber
    limit_price: Number | MISSING = MISSING


class OrderFilled(_OrderEvent):
    """The order was carried out, at this price."""

    type: Literal["trade.order_filled"]
    direction: Direction
    fill_price: Number
    fill_amount: Number
    total_value: Number
    fees: NonNegativeNumber
    tx_signature: str


class OrderCancelled(_OrderEvent):
    """The order was taken back."""

    type: Literal["trade.order_cancelled"]
    reason: str


class OrderFailed(_OrderEvent):
    """The order could not be carried out."""

    type: Literal["trade.order_failed"]
    error_code: str
    message: str


class _PositionEvent(_StrategyEvent):
    position_id: Id
    token: str


class PositionOpened(_PositionEvent):
    """The strategy holds something."""

    type: Literal["position.opened"]
    entry_price: Number
    size: PositiveNumber
    tx_signature: str


class PositionUpdated(_PositionEvent):
    """What is held is worth something else by now."""

    type: Literal["position.updated"]
    current_price: Number
    unrealized_pnl: Number
    unrealized_pnl_percentage: Number


class PositionClosed(_PositionEvent):
    """What was held is sold."""

    type: Literal["position.closed"]
    entry_price: Number
    exit_price: Number
    size: PositiveNumber
    realized_pnl: Number
    realized_pnl_percentage: Number
    reason: Literal["take_profit", "stop_loss", "manual", "signal"]
    tx_signature: str
