import type { DeliveredEvent } from "@courier/client";

const KEPT = 6;

export interface Order {
  readonly id: string;
  readonly placedAt: string;
  readonly token: string;
  readonly direction: "buy" | "sell";
  readonly type: "market" | "limit";
  readonly amount: number;
  readonly price?: number | undefined;
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
        price: event.limit_price,
        status: "open",
      };
      return [placed, ...all.filter((one) => one.id !== placed.id)].slice(0, KEPT);
    }
    case "trade.order_filled":
      return change(all, event.order_id, { status: "filled", price: event.fill_price });
    case "trade.order_cancelled":
      return change(all, event.order_id, { status: "cancelled" });
    case "trade.order_failed":
      return change(all, event.order_id, { status: "failed" });
    default:
      return all;
  }
}

function change(all: Orders, id: string, news: Partial<Order>): Orders {
  return all.map((one) => (one.id === id ? { ...one, ...news } : one));
}
