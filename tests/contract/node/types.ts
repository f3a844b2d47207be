// What an editor must say of the generated types. Each @ts-expect-error fails the compiler when nothing is wrong.

import {
  CLOSE_CODES,
  type ComeBack,
  type CloseReason,
  type ControlMessage,
  type CourierEvent,
  type CourierMessage,
  type CourierRefresh,
  type DeliveredEvent,
  type DeliveredOf,
  type EventOf,
  type EventType,
  type GapReason,
  type Publishable,
} from "./courier";

export function read(message: CourierMessage): string | number {
  switch (message.type) {
    case "backtest.progress":
      // @ts-expect-error no such field
      message.percentage;
      return message.progress;
    case "trade.order_placed": {
      const limit: number | undefined = message.limit_price;
      // @ts-expect-error it may be left out
      const price: number = message.limit_price;
      return limit ?? price;
    }
    case "system.announcement": {
      const severity: "info" | "warning" | "critical" = message.severity;
      return severity;
    }
    case "courier.gap": {
      const reason: GapReason = message.reason;
      // @ts-expect-error Courier's own messages have no position
      message.id;
      return `${reason} ${message.resumed_from}`;
    }
    // @ts-expect-error no such type
    case "backtest.exploded":
      return "";
    default:
      return message.type;
  }
}

export function every(event: DeliveredEvent): string {
  return `${event.id} ${event.channel} ${event.source} ${event.timestamp} ${event.trace_id ?? ""}`;
}

// @ts-expect-error an event as such has no position
export const position = (event: CourierEvent): string => event.id;

export const progress: EventOf<"backtest.progress"> = {
  type: "backtest.progress",
  source: "cartographe",
  timestamp: "2026-01-31T12:00:00Z",
  backtest_id: "b1",
  job_id: "j1",
  user_id: "alice",
  progress: 0.5,
  stage: "simulate",
  message: "Half way",
};

// @ts-expect-error no such type
export type Nothing = EventOf<"backtest.exploded">;

export const delivered: DeliveredOf<"backtest.progress"> = { ...progress, id: "k3v9x0qa-42", channel: "user.alice" };

export const failed: Publishable<"backtest.failed"> = {
  type: "backtest.failed", // without timestamp and details
  source: "cartographe",
  backtest_id: "b1",
  job_id: "j1",
  user_id: "alice",
  error_code: "NO_DATA",
  message: "No prices",
};

export const misspelt: Publishable<"prophet.error"> = {
  type: "prophet.error",
  source: "prophet",
  conversation_id: "c1",
  // @ts-expect-error misspelt
  eror_code: "NO_DATA",
  message: "No prices",
};

// @ts-expect-error a field is missing
export const short: Publishable<"strategy.paused"> = { type: "strategy.paused", source: "s", user_id: "alice" };

export const refresh: CourierRefresh = { type: "courier.refresh", token: "x" };

export const names: Record<EventType, true> | undefined = undefined;

const answers: Record<ComeBack, string> = {
  yes: "",
  "yes, with since": "",
  "yes, at the slot, with since": "",
  "yes, backing off": "",
  "with a new token": "",
  no: "",
};

export function next(code: number, reason: string): string {
  const row = CLOSE_CODES.find((each) => each.code === code && each.reason === reason);
  // @ts-expect-error no such reason
  const unknown: CloseReason = "Bored";
  return row ? answers[row.comeBack] : unknown;
}

export function exhaustive(message: ControlMessage): string {
  switch (message.type) {
    case "courier.gap":
    case "courier.joined":
    case "courier.drain":
    case "courier.token_expiring":
    case "courier.refreshed":
      return message.type;
    default: {
      const never: never = message;
      return never;
    }
  }
}
