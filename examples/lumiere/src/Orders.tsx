import { useCourierEvent } from "@courier/client/react";

import { Card } from "./Card";
import { formatAmount, formatMoney, formatTime } from "./format";
import { reduceOrders, type Order } from "./orders";
import type { PanelProps } from "./Panels";
import { useReplay } from "./useReplay";

export function Orders({ channel, past }: PanelProps) {
  const [orders, take] = useReplay(reduceOrders, [], past);
  useCourierEvent(channel, "trade.order_placed", take);
  useCourierEvent(channel, "trade.order_filled", take);
  useCourierEvent(channel, "trade.order_cancelled", take);
  useCourierEvent(channel, "trade.order_failed", take);
  return (
    <Card title="Orders" from="chevalier" className="orders">
      <table className="table">
        <thead>
          <tr>
            <th>Time</th>
            <th>Order</th>
            <th className="end">Amount</th>
            <th className="end">Price</th>
            <th className="end">Status</th>
          </tr>
        </thead>
        <tbody>
          {orders.map((one) => (
            <Row key={one.id} order={one} />
          ))}
        </tbody>
      </table>
      {orders.length === 0 && <p className="none">No order has been placed yet.</p>}
    </Card>
  );
}

const TONES = { open: "1", filled: "2", cancelled: "3", failed: "4" };

function Row({ order }: { order: Order }) {
  const { id, placedAt, token, direction, type, amount, limit, filled, paid, status } = order;
  const price = filled > 0 ? paid / filled : limit;
  const part = filled > 0 && status !== "filled";
  return (
    <tr data-order={id}>
      <td className="number quiet" data-side="none">
        {formatTime(placedAt)}
      </td>
      <td>
        <span className="side" data-direction={direction}>
          {direction}
        </span>{" "}
        <strong>{token}</strong> <span className="quiet">{type}</span>
      </td>
      <td className="end" data-label="Amount" data-side="right">
        {formatAmount(amount)}
      </td>
      <td className="end" data-label="Price">
        {price === undefined ? "–" : formatMoney(price)}
      </td>
      <td className="end" data-side="right">
        <span className="badge" data-tone={TONES[status]}>
          {part ? `${status}, ${Math.min(99, Math.round((100 * filled) / amount))} % filled` : status}
        </span>
      </td>
    </tr>
  );
}
