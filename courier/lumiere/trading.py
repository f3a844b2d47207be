"""Events of trading: the life of a strategy, of its orders and of its positions."""

from typing import Annotated, Literal

from pydantic import MISSING, Field

from courier.schemas.events.base import (
    ErrorCode,
    ErrorText,
    Event,
    Fraction,
    NonNegativeNumber,
    Number,
    PositiveNumber,
)
from courier.schemas.names import Id

Direction = Annotated[Literal["buy", "sell"], Field(description="Which way.")]
Token = Annotated[str, Field(description="What is traded.", examples=["SOL"])]
Signature = Annotated[
    str, Field(description="The transaction on the chain.", examples=["5VERYlongsignature"])
]
Reason = Annotated[str, Field(description="Why, for people.", examples=["RSI below 30"])]


class _StrategyEvent(Event):
    strategy_id: Id
    """The strategy; its own channel is `strategy.<id>`."""
    user_id: Annotated[Id, Field(examples=["alice"])]
    """Whose strategy it is."""


class StrategyDeployed(_StrategyEvent):
    """The strategy trades from now on."""

    type: Literal["strategy.deployed"]
    name: Annotated[str, Field(examples=["Dip buyer"])]
    """What its owner calls it."""
    initial_capital: NonNegativeNumber
    """What it starts with."""
    token_pair: Annotated[str, Field(examples=["SOL/USDC"])]
    """What it trades."""
    status: Literal["active"]


class StrategyPaused(_StrategyEvent):
    """The strategy trades no more until it is resumed."""

    type: Literal["strategy.paused"]
    reason: str = ""
    """Why, for people."""


class StrategyResumed(_StrategyEvent):
    """The strategy trades again."""

    type: Literal["strategy.resumed"]
    reason: str = ""
    """Why, for people."""


class StrategyStopped(_StrategyEvent):
    """The strategy has ended."""

    type: Literal["strategy.stopped"]
    reason: str = ""
    """Why, for people."""


class SignalGenerated(_StrategyEvent):
    """The strategy sees a reason to trade."""

    type: Literal["trade.signal_generated"]
    signal_id: Id
    """The signal; orders that it leads to name it."""
    token: Token
    direction: Direction
    confidence: Fraction
    """How sure the strategy is, 0 to 1."""
    reason: Reason
    price_at_signal: Number
    """The price at that moment."""


class _OrderEvent(_StrategyEvent):
    order_id: Id
    """The order."""
    token: Token


class OrderPlaced(_OrderEvent):
    """An order is on its way; one without a signal was placed by a person."""

    type: Literal["trade.order_placed"]
    signal_id: Id | MISSING = MISSING
    """The signal that it follows; left out when a person placed it."""
    direction: Direction
    order_type: Literal["market", "limit"]
    """At the market's price, or at `limit_price` or better."""
    amount: PositiveNumber
    """How much."""
    limit_price: Number | MISSING = MISSING
    """The price of a limit order."""


class OrderFilled(_OrderEvent):
    """The order was carried out, at this price."""

    type: Literal["trade.order_filled"]
    direction: Direction
    fill_price: Number
    """The price it was carried out at."""
    fill_amount: Number
    """How much was bought or sold."""
    total_value: Number
    """What that was worth."""
    fees: Number
    """What it cost; less than 0 where the exchange pays, as to makers."""
    tx_signature: Signature


class OrderCancelled(_OrderEvent):
    """The order was taken back."""

    type: Literal["trade.order_cancelled"]
    reason: Reason


class OrderFailed(_OrderEvent):
    """The order could not be carried out."""

    type: Literal["trade.order_failed"]
    error_code: ErrorCode
    message: ErrorText


class _PositionEvent(_StrategyEvent):
    position_id: Id
    """The position."""
    token: Token


class PositionOpened(_PositionEvent):
    """The strategy holds something."""

    type: Literal["position.opened"]
    entry_price: Number
    """The price it was bought at."""
    size: Number
    """How much is held; less than 0 when it is short."""
    tx_signature: Signature


class PositionUpdated(_PositionEvent):
    """What is held is worth something else by now."""

    type: Literal["position.updated"]
    current_price: Number
    """The price now."""
    unrealized_pnl: Number
    """What selling now would gain, or lose."""
    unrealized_pnl_percentage: Number
    """The same in percent of what was paid."""


class PositionClosed(_PositionEvent):
    """What was held is sold."""

    type: Literal["position.closed"]
    entry_price: Number
    """The price it was bought at."""
    exit_price: Number
    """The price it was sold at."""
    size: Number
    """How much is held; less than 0 when it is short."""
    realized_pnl: Number
    """What was gained, or lost."""
    realized_pnl_percentage: Number
    """The same in percent of what was paid."""
    reason: Literal["take_profit", "stop_loss", "manual", "signal"]
    """What ended it."""
    tx_signature: Signature
