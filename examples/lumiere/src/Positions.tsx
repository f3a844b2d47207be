import { useCourierEvent } from "@courier/client/react";

import { Card } from "./Card";
import { formatAmount, formatGain, formatMoney, toneOf } from "./format";
import type { PanelProps } from "./Panels";
import { reducePositions, type Position } from "./positions";
import { useReplay } from "./useReplay";

export function Positions({ channel, past }: PanelProps) {
  const [positions, take] = useReplay(reducePositions, [], past);
  useCourierEvent(channel, "strategy.deployed", take);
  useCourierEvent(channel, "position.opened", take);
  useCourierEvent(channel, "position.updated", take);
  useCourierEvent(channel, "position.closed", take);
  return (
    <Card title="Open positions" from="chevalier" className="positions">
      <table className="table">
        <thead>
          <tr>
            <th>Token</th>
            <th className="end">Size</th>
            <th className="end">Entry</th>
            <th className="end">Now</th>
            <th className="end">Gain</th>
          </tr>
        </thead>
        <tbody>
          {positions.map((one) => (
            <Row key={one.id} position={one} />
          ))}
        </tbody>
      </table>
      {positions.length === 0 && <p className="none">Nothing is held at the moment.</p>}
    </Card>
  );
}

function Row({ position: { id, token, size, entryPrice, price, pnl, percent } }: { position: Position }) {
  return (
    <tr data-position={id}>
      <td>
        <strong>{token}</strong>
      </td>
      <td className="end" data-label="Size">
        {size === undefined ? "–" : formatAmount(size)}
      </td>
      <td className="end" data-label="Entry" data-side="none">
        {entryPrice === undefined ? "–" : formatMoney(entryPrice)}
      </td>
      <td className="end" data-label="Now" data-side="right">
        {formatMoney(price)}
      </td>
      <td className="end gain" data-tone={toneOf(pnl)}>
        {formatGain(pnl)} <small>{formatGain(percent, " %")}</small>
      </td>
    </tr>
  );
}
