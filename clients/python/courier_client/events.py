"""Events: for each type the shape of its data, and a helper that gives what `publish` takes.

    await courier.publish(*events.system_announcement(title="…", message="…", severity="info"))

By place, a helper takes an event's fields in the order of docs/protocol.md.

Generated from Courier's models by generate.py: do not edit.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict


class MessageChunk(TypedDict):
    """A piece of the answer as it is written; the last piece says so."""

    conversation_id: str
    chunk: str
    is_final: bool


def prophet_message_chunk(
    user_id: str, conversation_id: str, chunk: str, is_final: bool
) -> tuple[str, Literal["prophet.message_chunk"], MessageChunk]:
    """A piece of the answer as it is written; the last piece says so."""
    data: MessageChunk = {"conversation_id": conversation_id, "chunk": chunk, "is_final": is_final}
    return f"user.{user_id}", "prophet.message_chunk", data


class TsdlReady(TypedDict):
    """The strategy that the conversation arrived at, in its own language."""

    conversation_id: str
    tsdl: str
    metadata: Mapping[str, Any]


def prophet_tsdl_ready(
    user_id: str, conversation_id: str, tsdl: str, metadata: Mapping[str, Any]
) -> tuple[str, Literal["prophet.tsdl_ready"], TsdlReady]:
    """The strategy that the conversation arrived at, in its own language."""
    data: TsdlReady = {"conversation_id": conversation_id, "tsdl": tsdl, "metadata": metadata}
    return f"user.{user_id}", "prophet.tsdl_ready", data


class ProphetError(TypedDict):
    """The conversation failed."""

    conversation_id: str
    error_code: str
    message: str
    details: NotRequired[str]


def prophet_error(
    user_id: str, conversation_id: str, error_code: str, message: str, details: str | None = None
) -> tuple[str, Literal["prophet.error"], ProphetError]:
    """The conversation failed."""
    data: ProphetError = {"conversation_id": conversation_id, "error_code": error_code, "message": message}
    if details is not None:
        data["details"] = details
    return f"user.{user_id}", "prophet.error", data


class BacktestStarted(TypedDict):
    """The backtest runs, with these parameters."""

    backtest_id: str
    job_id: str
    user_id: str
    parameters: Mapping[str, Any]


def backtest_started(
    backtest_id: str, job_id: str, user_id: str, parameters: Mapping[str, Any]
) -> tuple[str, Literal["backtest.started"], BacktestStarted]:
    """The backtest runs, with these parameters."""
    data: BacktestStarted = {
        "backtest_id": backtest_id,
        "job_id": job_id,
        "user_id": user_id,
        "parameters": parameters,
    }
    return f"user.{user_id}", "backtest.started", data


class BacktestProgress(TypedDict):
    """How far the backtest has come."""

    backtest_id: str
    job_id: str
    user_id: str
    progress: float
    stage: str
    message: str


def backtest_progress(
    backtest_id: str, job_id: str, user_id: str, progress: float, stage: str, message: str
) -> tuple[str, Literal["backtest.progress"], BacktestProgress]:
    """How far the backtest has come."""
    data: BacktestProgress = {
        "backtest_id": backtest_id,
        "job_id": job_id,
        "user_id": user_id,
        "progress": progress,
        "stage": stage,
        "message": message,
    }
    return f"user.{user_id}", "backtest.progress", data


class BacktestCompleted(TypedDict):
    """The backtest is done: how long it took, and what it found."""

    backtest_id: str
    job_id: str
    user_id: str
    duration_seconds: int
    summary: Mapping[str, Any]


def backtest_completed(
    backtest_id: str, job_id: str, user_id: str, duration_seconds: int, summary: Mapping[str, Any]
) -> tuple[str, Literal["backtest.completed"], BacktestCompleted]:
    """The backtest is done: how long it took, and what it found."""
    data: BacktestCompleted = {
        "backtest_id": backtest_id,
        "job_id": job_id,
        "user_id": user_id,
        "duration_seconds": duration_seconds,
        "summary": summary,
    }
    return f"user.{user_id}", "backtest.completed", data


class BacktestFailed(TypedDict):
    """The backtest ended without a result."""

    backtest_id: str
    job_id: str
    user_id: str
    error_code: str
    message: str
    details: NotRequired[str]


def backtest_failed(
    backtest_id: str, job_id: str, user_id: str, error_code: str, message: str, details: str | None = None
) -> tuple[str, Literal["backtest.failed"], BacktestFailed]:
    """The backtest ended without a result."""
    data: BacktestFailed = {
        "backtest_id": backtest_id,
        "job_id": job_id,
        "user_id": user_id,
        "error_code": error_code,
        "message": message,
    }
    if details is not None:
        data["details"] = details
    return f"user.{user_id}", "backtest.failed", data


class BacktestCancelled(TypedDict):
    """Somebody stopped the backtest before its end."""

    backtest_id: str
    job_id: str
    user_id: str
    reason: str
    progress_at_cancellation: float


def backtest_cancelled(
    backtest_id: str, job_id: str, user_id: str, reason: str, progress_at_cancellation: float
) -> tuple[str, Literal["backtest.cancelled"], BacktestCancelled]:
    """Somebody stopped the backtest before its end."""
    data: BacktestCancelled = {
        "backtest_id": backtest_id,
        "job_id": job_id,
        "user_id": user_id,
        "reason": reason,
        "progress_at_cancellation": progress_at_cancellation,
    }
    return f"user.{user_id}", "backtest.cancelled", data


class StrategyDeployed(TypedDict):
    """The strategy trades from now on."""

    strategy_id: str
    user_id: str
    name: str
    initial_capital: float
    token_pair: str
    status: Literal["active"]


def strategy_deployed(
    strategy_id: str,
    user_id: str,
    name: str,
    initial_capital: float,
    token_pair: str,
    status: Literal["active"] = "active",
) -> tuple[str, Literal["strategy.deployed"], StrategyDeployed]:
    """The strategy trades from now on."""
    data: StrategyDeployed = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "name": name,
        "initial_capital": initial_capital,
        "token_pair": token_pair,
        "status": status,
    }
    return f"user.{user_id}", "strategy.deployed", data


class StrategyPaused(TypedDict):
    """The strategy trades no more until it is resumed."""

    strategy_id: str
    user_id: str
    reason: NotRequired[str]


def strategy_paused(
    strategy_id: str, user_id: str, reason: str | None = None
) -> tuple[str, Literal["strategy.paused"], StrategyPaused]:
    """The strategy trades no more until it is resumed."""
    data: StrategyPaused = {"strategy_id": strategy_id, "user_id": user_id}
    if reason is not None:
        data["reason"] = reason
    return f"user.{user_id}", "strategy.paused", data


class StrategyResumed(TypedDict):
    """The strategy trades again."""

    strategy_id: str
    user_id: str
    reason: NotRequired[str]


def strategy_resumed(
    strategy_id: str, user_id: str, reason: str | None = None
) -> tuple[str, Literal["strategy.resumed"], StrategyResumed]:
    """The strategy trades again."""
    data: StrategyResumed = {"strategy_id": strategy_id, "user_id": user_id}
    if reason is not None:
        data["reason"] = reason
    return f"user.{user_id}", "strategy.resumed", data


class StrategyStopped(TypedDict):
    """The strategy has ended."""

    strategy_id: str
    user_id: str
    reason: NotRequired[str]


def strategy_stopped(
    strategy_id: str, user_id: str, reason: str | None = None
) -> tuple[str, Literal["strategy.stopped"], StrategyStopped]:
    """The strategy has ended."""
    data: StrategyStopped = {"strategy_id": strategy_id, "user_id": user_id}
    if reason is not None:
        data["reason"] = reason
    return f"user.{user_id}", "strategy.stopped", data


class SignalGenerated(TypedDict):
    """The strategy sees a reason to trade."""

    strategy_id: str
    user_id: str
    signal_id: str
    token: str
    direction: Literal["buy", "sell"]
    confidence: float
    reason: str
    price_at_signal: float


def trade_signal_generated(
    strategy_id: str,
    user_id: str,
    signal_id: str,
    token: str,
    direction: Literal["buy", "sell"],
    confidence: float,
    reason: str,
    price_at_signal: float,
) -> tuple[str, Literal["trade.signal_generated"], SignalGenerated]:
    """The strategy sees a reason to trade."""
    data: SignalGenerated = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "signal_id": signal_id,
        "token": token,
        "direction": direction,
        "confidence": confidence,
        "reason": reason,
        "price_at_signal": price_at_signal,
    }
    return f"user.{user_id}", "trade.signal_generated", data


class OrderPlaced(TypedDict):
    """An order is on its way; one without a signal was placed by a person."""

    strategy_id: str
    user_id: str
    order_id: str
    token: str
    direction: Literal["buy", "sell"]
    order_type: Literal["market", "limit"]
    amount: float
    signal_id: NotRequired[str]
    limit_price: NotRequired[float]


def trade_order_placed(
    strategy_id: str,
    user_id: str,
    order_id: str,
    token: str,
    direction: Literal["buy", "sell"],
    order_type: Literal["market", "limit"],
    amount: float,
    signal_id: str | None = None,
    limit_price: float | None = None,
) -> tuple[str, Literal["trade.order_placed"], OrderPlaced]:
    """An order is on its way; one without a signal was placed by a person."""
    data: OrderPlaced = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "order_id": order_id,
        "token": token,
        "direction": direction,
        "order_type": order_type,
        "amount": amount,
    }
    if signal_id is not None:
        data["signal_id"] = signal_id
    if limit_price is not None:
        data["limit_price"] = limit_price
    return f"user.{user_id}", "trade.order_placed", data


class OrderFilled(TypedDict):
    """The order was carried out, at this price."""

    strategy_id: str
    user_id: str
    order_id: str
    token: str
    direction: Literal["buy", "sell"]
    fill_price: float
    fill_amount: float
    total_value: float
    fees: float
    tx_signature: str


def trade_order_filled(
    strategy_id: str,
    user_id: str,
    order_id: str,
    token: str,
    direction: Literal["buy", "sell"],
    fill_price: float,
    fill_amount: float,
    total_value: float,
    fees: float,
    tx_signature: str,
) -> tuple[str, Literal["trade.order_filled"], OrderFilled]:
    """The order was carried out, at this price."""
    data: OrderFilled = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "order_id": order_id,
        "token": token,
        "direction": direction,
        "fill_price": fill_price,
        "fill_amount": fill_amount,
        "total_value": total_value,
        "fees": fees,
        "tx_signature": tx_signature,
    }
    return f"user.{user_id}", "trade.order_filled", data


class OrderCancelled(TypedDict):
    """The order was taken back."""

    strategy_id: str
    user_id: str
    order_id: str
    token: str
    reason: str


def trade_order_cancelled(
    strategy_id: str, user_id: str, order_id: str, token: str, reason: str
) -> tuple[str, Literal["trade.order_cancelled"], OrderCancelled]:
    """The order was taken back."""
    data: OrderCancelled = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "order_id": order_id,
        "token": token,
        "reason": reason,
    }
    return f"user.{user_id}", "trade.order_cancelled", data


class OrderFailed(TypedDict):
    """The order could not be carried out."""

    strategy_id: str
    user_id: str
    order_id: str
    token: str
    error_code: str
    message: str


def trade_order_failed(
    strategy_id: str, user_id: str, order_id: str, token: str, error_code: str, message: str
) -> tuple[str, Literal["trade.order_failed"], OrderFailed]:
    """The order could not be carried out."""
    data: OrderFailed = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "order_id": order_id,
        "token": token,
        "error_code": error_code,
        "message": message,
    }
    return f"user.{user_id}", "trade.order_failed", data


class PositionOpened(TypedDict):
    """The strategy holds something."""

    strategy_id: str
    user_id: str
    position_id: str
    token: str
    entry_price: float
    size: float
    tx_signature: str


def position_opened(
    strategy_id: str,
    user_id: str,
    position_id: str,
    token: str,
    entry_price: float,
    size: float,
    tx_signature: str,
) -> tuple[str, Literal["position.opened"], PositionOpened]:
    """The strategy holds something."""
    data: PositionOpened = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "position_id": position_id,
        "token": token,
        "entry_price": entry_price,
        "size": size,
        "tx_signature": tx_signature,
    }
    return f"user.{user_id}", "position.opened", data


class PositionUpdated(TypedDict):
    """What is held is worth something else by now."""

    strategy_id: str
    user_id: str
    position_id: str
    token: str
    current_price: float
    unrealized_pnl: float
    unrealized_pnl_percentage: float


def position_updated(
    strategy_id: str,
    user_id: str,
    position_id: str,
    token: str,
    current_price: float,
    unrealized_pnl: float,
    unrealized_pnl_percentage: float,
) -> tuple[str, Literal["position.updated"], PositionUpdated]:
    """What is held is worth something else by now."""
    data: PositionUpdated = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "position_id": position_id,
        "token": token,
        "current_price": current_price,
        "unrealized_pnl": unrealized_pnl,
        "unrealized_pnl_percentage": unrealized_pnl_percentage,
    }
    return f"user.{user_id}", "position.updated", data


class PositionClosed(TypedDict):
    """What was held is sold."""

    strategy_id: str
    user_id: str
    position_id: str
    token: str
    entry_price: float
    exit_price: float
    size: float
    realized_pnl: float
    realized_pnl_percentage: float
    reason: Literal["take_profit", "stop_loss", "manual", "signal"]
    tx_signature: str


def position_closed(
    strategy_id: str,
    user_id: str,
    position_id: str,
    token: str,
    entry_price: float,
    exit_price: float,
    size: float,
    realized_pnl: float,
    realized_pnl_percentage: float,
    reason: Literal["take_profit", "stop_loss", "manual", "signal"],
    tx_signature: str,
) -> tuple[str, Literal["position.closed"], PositionClosed]:
    """What was held is sold."""
    data: PositionClosed = {
        "strategy_id": strategy_id,
        "user_id": user_id,
        "position_id": position_id,
        "token": token,
        "entry_price": entry_price,
        "exit_price": exit_price,
        "size": size,
        "realized_pnl": realized_pnl,
        "realized_pnl_percentage": realized_pnl_percentage,
        "reason": reason,
        "tx_signature": tx_signature,
    }
    return f"user.{user_id}", "position.closed", data


class ForgeJobStarted(TypedDict):
    """The job runs, with these parameters."""

    job_id: str
    user_id: str
    parameters: Mapping[str, Any]


def forge_job_started(
    job_id: str, user_id: str, parameters: Mapping[str, Any]
) -> tuple[str, Literal["forge.job_started"], ForgeJobStarted]:
    """The job runs, with these parameters."""
    data: ForgeJobStarted = {"job_id": job_id, "user_id": user_id, "parameters": parameters}
    return f"user.{user_id}", "forge.job_started", data


class ForgeJobProgress(TypedDict):
    """How far the job has come."""

    job_id: str
    user_id: str
    progress: float
    stage: str
    message: str


def forge_job_progress(
    job_id: str, user_id: str, progress: float, stage: str, message: str
) -> tuple[str, Literal["forge.job_progress"], ForgeJobProgress]:
    """How far the job has come."""
    data: ForgeJobProgress = {
        "job_id": job_id,
        "user_id": user_id,
        "progress": progress,
        "stage": stage,
        "message": message,
    }
    return f"user.{user_id}", "forge.job_progress", data


class ForgeJobCompleted(TypedDict):
    """The job is done: how long it took, and what it built."""

    job_id: str
    user_id: str
    duration_seconds: int
    summary: Mapping[str, Any]


def forge_job_completed(
    job_id: str, user_id: str, duration_seconds: int, summary: Mapping[str, Any]
) -> tuple[str, Literal["forge.job_completed"], ForgeJobCompleted]:
    """The job is done: how long it took, and what it built."""
    data: ForgeJobCompleted = {
        "job_id": job_id,
        "user_id": user_id,
        "duration_seconds": duration_seconds,
        "summary": summary,
    }
    return f"user.{user_id}", "forge.job_completed", data


class ForgeJobFailed(TypedDict):
    """The job ended without a result."""

    job_id: str
    user_id: str
    error_code: str
    message: str
    details: NotRequired[str]


def forge_job_failed(
    job_id: str, user_id: str, error_code: str, message: str, details: str | None = None
) -> tuple[str, Literal["forge.job_failed"], ForgeJobFailed]:
    """The job ended without a result."""
    data: ForgeJobFailed = {
        "job_id": job_id,
        "user_id": user_id,
        "error_code": error_code,
        "message": message,
    }
    if details is not None:
        data["details"] = details
    return f"user.{user_id}", "forge.job_failed", data


class Announcement(TypedDict):
    """News for everybody."""

    title: str
    message: str
    severity: Literal["info", "warning", "critical"]


def system_announcement(
    title: str, message: str, severity: Literal["info", "warning", "critical"]
) -> tuple[str, Literal["system.announcement"], Announcement]:
    """News for everybody."""
    data: Announcement = {"title": title, "message": message, "severity": severity}
    return "global", "system.announcement", data


class Maintenance(TypedDict):
    """The system will be away for a while; the end lies after the start."""

    starts_at: str
    ends_at: str
    message: str


def system_maintenance(
    starts_at: datetime, ends_at: datetime, message: str
) -> tuple[str, Literal["system.maintenance"], Maintenance]:
    """The system will be away for a while; the end lies after the start."""
    data: Maintenance = {
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat(),
        "message": message,
    }
    return "global", "system.maintenance", data


class ServiceStatus(TypedDict):
    """How one of the services is doing."""

    service: str
    status: Literal["healthy", "degraded", "down"]
    message: NotRequired[str]


def system_service_status(
    service: str, status: Literal["healthy", "degraded", "down"], message: str | None = None
) -> tuple[str, Literal["system.service_status"], ServiceStatus]:
    """How one of the services is doing."""
    data: ServiceStatus = {"service": service, "status": status}
    if message is not None:
        data["message"] = message
    return "global", "system.service_status", data
