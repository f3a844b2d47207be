"""Lumiere: the events, channels and claims of the trading platform that Courier was written for.

They are what a node knows when `COURIER_EVENT_MODULES` is not set. Nothing else in Courier knows of them.
"""

# Documents list events in this order.
# isort: off
from courier.lumiere.prophet import (
    MessageChunk,
    TsdlReady,
    ProphetError,
)
from courier.lumiere.backtest import (
    BacktestStarted,
    BacktestProgress,
    BacktestCompleted,
    BacktestFailed,
    BacktestCancelled,
)
from courier.lumiere.trading import (
    StrategyDeployed,
    StrategyPaused,
    StrategyResumed,
    StrategyStopped,
    SignalGenerated,
    OrderPlaced,
    OrderFilled,
    OrderCancelled,
    OrderFailed,
    PositionOpened,
    PositionUpdated,
    PositionClosed,
)
from courier.lumiere.forge import (
    ForgeJobStarted,
    ForgeJobProgress,
    ForgeJobCompleted,
    ForgeJobFailed,
)
from courier.lumiere.channels import STRATEGY, BACKTEST, FORGE_JOB, LumiereClaims
# isort: on

__all__ = [
    "BACKTEST",
    "FORGE_JOB",
    "STRATEGY",
    "BacktestCancelled",
    "BacktestCompleted",
    "BacktestFailed",
    "BacktestProgress",
    "BacktestStarted",
    "ForgeJobCompleted",
    "ForgeJobFailed",
    "ForgeJobProgress",
    "ForgeJobStarted",
    "LumiereClaims",
    "MessageChunk",
    "OrderCancelled",
    "OrderFailed",
    "OrderFilled",
    "OrderPlaced",
    "PositionClosed",
    "PositionOpened",
    "PositionUpdated",
    "ProphetError",
    "SignalGenerated",
    "StrategyDeployed",
    "StrategyPaused",
    "StrategyResumed",
    "StrategyStopped",
    "TsdlReady",
]
