import type { DeliveredEvent } from "@courier/client";

const KEPT = 6;
/** Parts of an order add up to it but for what floating point leaves. */
const DUST = 1e-9;

export interface Order {
  readonly id: string;
  readonly placedAt: string;
  readonly token: string;
  readonly direction: "buy" | "sell";
  readonly type: "market" | "limit";
  readonly amount: number;
  readonly limit: number | undefined;
  readonly filled: number;
  readonly paid: number;
  readonly status: "open" | "filled" | "cancelled" | "failed";
}

/** Newest first; the last few. */
export type Orders = readonly Order[];

export function reduceOrders(all: Orders, event: DeliveredEvent): Orders {
  switch (event.type) {
    case "trade.order_placed": {
      const placed: Order = {
        id: event.order_id,
        placedAt: event.timestamp,
        token: event.token,
        direction: event.direction,
        type: event.order_type,
        amount: event.amount,
        limit: event.limit_price,
        filled: 0,
        paid: 0,
        status: "open",
      };
      return [placed, ...all.filter((one) => one.id !== placed.id)].slice(0, KEPT);
    }
    case "trade.order_filled":
      return change(all, event.order_id, (one) => fill(one, event.fill_amount, event.fill_price));
    case "trade.order_cancelled":
      return change(all, event.order_id, (one) => ({ ...one, status: "cancelled" }));
    case "trade.order_failed":
      return change(all, event.order_id, (one) => ({ ...one, status: "failed" }));
    default:
      return all;
  }
}

function fill(order: Order, amount: number, price: number): Order {
  const filled = order.filled + amount;
  const status = filled > order.amount - DUST ? "filled" : order.status;
  return { ...order, status, filled, paid: order.paid + amount * price };
}

function change(all: Orders, id: string, how: (one: Order) => Order): Orders {
  return all.map((one) => (one.id === id ? how(one) : one));
}
