import type { DeliveredEvent } from "@courier/client";

const KEPT = 5;

export interface Backtest {
  readonly id: string;
  readonly pair: string;
  readonly status: "running" | "completed" | "failed" | "cancelled";
  readonly progress: number;
  readonly message: string;
}

/** Newest first; the last few. */
export type Backtests = readonly Backtest[];

export function reduceBacktests(all: Backtests, event: DeliveredEvent): Backtests {
  switch (event.type) {
    case "backtest.started":
      return change(all, event.backtest_id, { pair: text(event.parameters["pair"]), message: "Started" });
    case "backtest.progress":
      return change(all, event.backtest_id, { progress: event.progress, message: event.message });
    case "backtest.completed":
      return change(all, event.backtest_id, {
        status: "completed",
        progress: 1,
        message: summarise(event.summary),
      });
    case "backtest.failed":
      return change(all, event.backtest_id, { status: "failed", message: event.message });
    case "backtest.cancelled":
      return change(all, event.backtest_id, {
        status: "cancelled",
        progress: event.progress_at_cancellation,
        message: event.reason,
      });
    default:
      return all;
  }
}

function change(all: Backtests, id: string, news: Partial<Backtest>): Backtests {
  if (all.some((one) => one.id === id)) return all.map((one) => (one.id === id ? { ...one, ...news } : one));
  const first: Backtest = { id, pair: id, status: "running", progress: 0, message: "", ...news };
  return [first, ...all].slice(0, KEPT);
}

function summarise(summary: Record<string, unknown>): string {
  return `Sharpe ${text(summary["sharpe"])} · return ${text(summary["return_pct"])} %`;
}

/** Courier carries objects such as `parameters` without knowing their fields. */
function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "–";
}
