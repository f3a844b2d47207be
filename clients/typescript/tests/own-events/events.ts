/** As `courier contract typescript` writes it for a Courier that has event types of its own, in short. */
export interface AcmeOrderShipped {
  type: "acme.order_shipped";
  source: string;
  timestamp: string;
  order_id: string;
}

export type DeliveredEvent = AcmeOrderShipped & { id: string; channel: string };

export type Channel = "global" | `order.${string}`;
