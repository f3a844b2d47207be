import { useCourierEvent } from "@courier/client/react";

import { reduceBacktests, type Backtest } from "./backtests";
import { Card } from "./Card";
import type { PanelProps } from "./Panels";
import { useReplay } from "./useReplay";

export function Backtests({ channel, past }: PanelProps) {
  const [backtests, take] = useReplay(reduceBacktests, [], past);
  useCourierEvent(channel, "backtest.started", take);
  useCourierEvent(channel, "backtest.progress", take);
  useCourierEvent(channel, "backtest.completed", take);
  useCourierEvent(channel, "backtest.failed", take);
  useCourierEvent(channel, "backtest.cancelled", take);
  return (
    <Card title="Backtests" from="cartographe">
      {backtests.length === 0 && <p className="none">No backtest has run yet.</p>}
      <ul className="backtests">
        {backtests.map((one) => (
          <Row key={one.id} backtest={one} />
        ))}
      </ul>
    </Card>
  );
}

const TONES = { running: "1", completed: "2", cancelled: "3", failed: "4" };

function Row({ backtest: { id, pair, status, progress, message } }: { backtest: Backtest }) {
  const percent = Math.round(progress * 100);
  return (
    <li data-backtest={id} data-status={status}>
      <div className="line">
        <strong>{pair}</strong>
        <span className="badge" data-tone={TONES[status]}>
          {status}
        </span>
        <span className="percent number">{percent} %</span>
      </div>
      <div
        className="bar"
        role="progressbar"
        aria-label={`Backtest of ${pair}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
      >
        <span style={{ width: `${percent}%` }} />
      </div>
      <p className="quiet number">{message}</p>
    </li>
  );
}
