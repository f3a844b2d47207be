"""One valid example of every event in the contract's table, with every field that it may bear."""

from typing import Any

_BASE = {"source": "lumiere", "timestamp": "2026-03-01T12:30:00.250000Z", "trace_id": "trace-1"}
_BACKTEST = {"backtest_id": "bt-1", "job_id": "job-1", "user_id": "u1"}
_FORGE = {"job_id": "job-1", "user_id": "u1"}
_STRATEGY = {"strategy_id": "s1", "user_id": "u1"}
_ORDER = {**_STRATEGY, "order_id": "o1", "token": "SOL"}
_POSITION = {**_STRATEGY, "position_id": "p1", "token": "SOL"}

_STARTED = {
    "parameters": {"from": "2025-01-01", "pairs": ["SOL/USDC"], "seed": None, "limits": {"loss": 0.05}}
}
_PROGRESS = {"progress": 0.5, "stage": "simulate", "message": "Half way"}
_COMPLETED = {"duration_seconds": 42, "summary": {"trades": 17, "sharpe": 1.25}}
_FAILED = {"error_code": "NO_DATA", "message": "No prices", "details": "SOL/USDC before 2021"}

_FIELDS: dict[str, dict[str, Any]] = {
    "prophet.message_chunk": {"conversation_id": "c1", "chunk": "Grüße ✓", "is_final": False},
    "prophet.tsdl_ready": {"conversation_id": "c1", "tsdl": "buy when dip", "metadata": {"version": 2}},
    "prophet.error": {"conversation_id": "c1", **_FAILED},
    "backtest.started": {**_BACKTEST, **_STARTED},
    "backtest.progress": {**_BACKTEST, **_PROGRESS},
    "backtest.completed": {**_BACKTEST, **_COMPLETED},
    "backtest.failed": {**_BACKTEST, **_FAILED},
    "backtest.cancelled": {**_BACKTEST, "reason": "by its owner", "progress_at_cancellation": 0.25},
    "strategy.deployed": {
        **_STRATEGY,
        "name": "Dip buyer",
        "initial_capital": 1000.5,
        "token_pair": "SOL/USDC",
        "status": "active",
    },
    "strategy.paused": {**_STRATEGY, "reason": "holiday"},
    "strategy.resumed": {**_STRATEGY, "reason": "back"},
    "strategy.stopped": {**_STRATEGY, "reason": "enough"},
    "trade.signal_generated": {
        **_STRATEGY,
        "signal_id": "sig-1",
        "token": "SOL",
        "direction": "buy",
        "confidence": 0.9,
        "reason": "RSI below 30",
        "price_at_signal": 142.5,
    },
    "trade.order_placed": {
        **_ORDER,
        "signal_id": "sig-1",
        "direction": "sell",
        "order_type": "limit",
        "amount": 3.25,
        "limit_price": 150.0,
    },
    "trade.order_filled": {
        **_ORDER,
        "direction": "buy",
        "fill_price": 142.75,
        "fill_amount": 3.25,
        "total_value": 463.9375,
        "fees": 0.0,
        "tx_signature": "5VERYlongsignature",
    },
    "trade.order_cancelled": {**_ORDER, "reason": "price ran away"},
    "trade.order_failed": {**_ORDER, "error_code": "SLIPPAGE", "message": "Moved too far"},
    "position.opened": {
        **_POSITION,
        "entry_price": 142.75,
        "size": 3.25,
        "tx_signature": "5VERYlongsignature",
    },
    "position.updated": {
        **_POSITION,
        "current_price": 140.0,
        "unrealized_pnl": -8.9375,
        "unrealized_pnl_percentage": -1.93,
    },
    "position.closed": {
        **_POSITION,
        "entry_price": 142.75,
        "exit_price": 150.0,
        "size": 3.25,
        "realized_pnl": 23.5625,
        "realized_pnl_percentage": 5.08,
        "reason": "take_profit",
        "tx_signature": "5VERYlongsignature",
    },
    "forge.job_started": {**_FORGE, **_STARTED},
    "forge.job_progress": {**_FORGE, **_PROGRESS},
    "forge.job_completed": {**_FORGE, **_COMPLETED},
    "forge.job_failed": {**_FORGE, **_FAILED},
    "system.announcement": {"title": "News", "message": "Forge is open", "severity": "info"},
    "system.maintenance": {
        "starts_at": "2026-03-02T00:00:00Z",
        "ends_at": "2026-03-02T01:00:00+00:30",
        "message": "New disks",
    },
    "system.service_status": {"service": "forge", "status": "degraded", "message": "Slow disks"},
}

EXAMPLES: dict[str, dict[str, Any]] = {
    event_type: {"type": event_type, **_BASE, **fields} for event_type, fields in _FIELDS.items()
}
