"""Every event that Courier knows, published once: python every_event.py http://127.0.0.1:8766"""

import sys
from datetime import UTC, datetime, timedelta

import anyio
from courier_client import CourierClient, events


async def main(url: str) -> None:
    async with CourierClient(url=url, service_name="example") as courier:
        await courier.publish(
            *events.prophet_message_chunk(
                user_id="alice", conversation_id="c1", chunk="Grüße ✓", is_final=False
            )
        )
        await courier.publish(
            *events.prophet_tsdl_ready(
                user_id="alice", conversation_id="c1", tsdl="buy when dip", metadata={"version": 2}
            )
        )
        await courier.publish(
            *events.prophet_error(
                user_id="alice",
                conversation_id="c1",
                error_code="NO_DATA",
                message="No prices",
                details="SOL/USDC before 2021",
            )
        )
        await courier.publish(
            *events.backtest_started(
                job_id="job-1",
                user_id="alice",
                parameters={
                    "from": "2025-01-01",
                    "pairs": ["SOL/USDC"],
                    "seed": None,
                    "limits": {"loss": 0.05},
                },
                backtest_id="bt-1",
            )
        )
        await courier.publish(
            *events.backtest_progress(
                job_id="job-1",
                user_id="alice",
                progress=0.5,
                stage="simulate",
                message="Half way",
                backtest_id="bt-1",
            )
        )
        await courier.publish(
            *events.backtest_completed(
                job_id="job-1",
                user_id="alice",
                duration_seconds=42,
                summary={"trades": 17, "sharpe": 1.25},
                backtest_id="bt-1",
            )
        )
        await courier.publish(
            *events.backtest_failed(
                job_id="job-1",
                user_id="alice",
                error_code="NO_DATA",
                message="No prices",
                backtest_id="bt-1",
                details="SOL/USDC before 2021",
            )
        )
        await courier.publish(
            *events.backtest_cancelled(
                job_id="job-1",
                user_id="alice",
                backtest_id="bt-1",
                reason="by its owner",
                progress_at_cancellation=0.25,
            )
        )
        await courier.publish(
            *events.strategy_deployed(
                strategy_id="s1",
                user_id="alice",
                name="Dip buyer",
                initial_capital=1000.5,
                token_pair="SOL/USDC",
            )
        )
        await courier.publish(*events.strategy_paused(strategy_id="s1", user_id="alice", reason="holiday"))
        await courier.publish(*events.strategy_resumed(strategy_id="s1", user_id="alice", reason="back"))
        await courier.publish(*events.strategy_stopped(strategy_id="s1", user_id="alice", reason="enough"))
        await courier.publish(
            *events.trade_signal_generated(
                strategy_id="s1",
                user_id="alice",
                signal_id="sig-1",
                token="SOL",
                direction="buy",
                confidence=0.9,
                reason="RSI below 30",
                price_at_signal=142.5,
            )
        )
        await courier.publish(
            *events.trade_order_placed(
                strategy_id="s1",
                user_id="alice",
                order_id="o1",
                token="SOL",
                direction="sell",
                order_type="limit",
                amount=3.25,
                signal_id="sig-1",
                limit_price=150.0,
            )
        )
        await courier.publish(
            *events.trade_order_filled(
                strategy_id="s1",
                user_id="alice",
                order_id="o1",
                token="SOL",
                direction="buy",
                fill_price=142.75,
                fill_amount=3.25,
                total_value=463.9375,
                fees=0.0,
                tx_signature="5VERYlongsignature",
            )
        )
        await courier.publish(
            *events.trade_order_cancelled(
                strategy_id="s1", user_id="alice", order_id="o1", token="SOL", reason="price ran away"
            )
        )
        await courier.publish(
            *events.trade_order_failed(
                strategy_id="s1",
                user_id="alice",
                order_id="o1",
                token="SOL",
                error_code="SLIPPAGE",
                message="Moved too far",
            )
        )
        await courier.publish(
            *events.position_opened(
                strategy_id="s1",
                user_id="alice",
                position_id="p1",
                token="SOL",
                entry_price=142.75,
                size=3.25,
                tx_signature="5VERYlongsignature",
            )
        )
        await courier.publish(
            *events.position_updated(
                strategy_id="s1",
                user_id="alice",
                position_id="p1",
                token="SOL",
                current_price=140.0,
                unrealized_pnl=-8.9375,
                unrealized_pnl_percentage=-1.93,
            )
        )
        await courier.publish(
            *events.position_closed(
                strategy_id="s1",
                user_id="alice",
                position_id="p1",
                token="SOL",
                entry_price=142.75,
                exit_price=150.0,
                size=3.25,
                realized_pnl=23.5625,
                realized_pnl_percentage=5.08,
                reason="take_profit",
                tx_signature="5VERYlongsignature",
            )
        )
        await courier.publish(
            *events.forge_job_started(
                job_id="job-1",
                user_id="alice",
                parameters={
                    "from": "2025-01-01",
                    "pairs": ["SOL/USDC"],
                    "seed": None,
                    "limits": {"loss": 0.05},
                },
            )
        )
        await courier.publish(
            *events.forge_job_progress(
                job_id="job-1", user_id="alice", progress=0.5, stage="simulate", message="Half way"
            )
        )
        await courier.publish(
            *events.forge_job_completed(
                job_id="job-1", user_id="alice", duration_seconds=42, summary={"trades": 17, "sharpe": 1.25}
            )
        )
        await courier.publish(
            *events.forge_job_failed(
                job_id="job-1",
                user_id="alice",
                error_code="NO_DATA",
                message="No prices",
                details="SOL/USDC before 2021",
            )
        )
        await courier.publish(
            *events.system_announcement(title="News", message="Forge is open", severity="info")
        )
        await courier.publish(
            *events.system_maintenance(
                starts_at=datetime.now(UTC),
                ends_at=datetime.now(UTC) + timedelta(hours=1),
                message="New disks",
            )
        )
        await courier.publish(
            *events.system_service_status(service="forge", status="degraded", message="Slow disks")
        )


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
