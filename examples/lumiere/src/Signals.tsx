import { useCourierEvent } from "@courier/client/react";

import { Card } from "./Card";
import { formatMoney, formatShare, formatTime } from "./format";
import type { PanelProps } from "./Panels";
import { reduceSignals, type Signals as Shown } from "./signals";
import { useReplay } from "./useReplay";

export function Signals({ channel, past }: PanelProps) {
  const [signals, take] = useReplay(reduceSignals, [], past);
  useCourierEvent(channel, "trade.signal_generated", take);
  return (
    <Card title="Signals" from="chevalier" className="signals">
      <table className="table">
        <thead>
          <tr>
            <th>Time</th>
            <th>Signal</th>
            <th>Reason</th>
            <th className="end">Price</th>
            <th className="end">Confidence</th>
          </tr>
        </thead>
        <tbody>
          {signals.map((one) => (
            <Row key={one.signal_id} signal={one} />
          ))}
        </tbody>
      </table>
      {signals.length === 0 && <p className="none">No signal has come yet.</p>}
    </Card>
  );
}

function Row({ signal }: { signal: Shown[number] }) {
  const { signal_id, timestamp, direction, token, reason, price_at_signal, confidence } = signal;
  return (
    <tr data-signal={signal_id}>
      <td className="number quiet" data-side="none">
        {formatTime(timestamp)}
      </td>
      <td>
        <span className="side" data-direction={direction}>
          {direction}
        </span>{" "}
        <strong>{token}</strong>
      </td>
      <td className="quiet" data-side="right">
        {reason}
      </td>
      <td className="end" data-label="Price">
        {formatMoney(price_at_signal)}
      </td>
      <td className="end" data-label="Confidence" data-side="right">
        {formatShare(confidence)}
      </td>
    </tr>
  );
}
