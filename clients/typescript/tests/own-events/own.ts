/** Compiled against the built package: an application's own events in the client, the router and the hooks. */
import { CourierClient, EventRouter } from "@courier/client";
import { useCourier, useCourierEvent } from "@courier/client/react";

import type { Channel, DeliveredEvent } from "./events.js";

declare module "@courier/client" {
  interface Register {
    event: DeliveredEvent;
    channel: Channel;
  }
}

const router = new EventRouter();
router.on("acme.order_shipped", (event) => event.order_id satisfies string);
// @ts-expect-error: this Courier has no such event
router.on("backtest.progress", () => undefined);

const client = new CourierClient({ url: "wss://courier.example", channel: "global", token: "t1" });
new CourierClient("wss://courier.example", "order.1", "t1");
// @ts-expect-error: this Courier has no such channel
new CourierClient({ url: "wss://courier.example", channel: "strategy.1", token: "t1" });
client.onMessage((event) => event.order_id satisfies string);
client.onMessage(router.dispatch);
// @ts-expect-error: its events have no such field
client.onMessage((event) => event.percent);

export function useShipped(shipped: (order: string) => void): void {
  useCourierEvent("acme.order_shipped", (event) => shipped(event.order_id));
  // @ts-expect-error: this Courier has no such event
  useCourierEvent("backtest.progress", () => undefined);
  useCourier("order.7");
  // @ts-expect-error: this Courier has no such channel
  useCourier("strategy.1");
}
