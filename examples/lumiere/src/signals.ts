import type { AnyEventOf, DeliveredEvent } from "@courier/client";

const KEPT = 3;

/** Newest first; the last few. */
export type Signals = readonly AnyEventOf<"trade.signal_generated">[];

export function reduceSignals(all: Signals, event: DeliveredEvent): Signals {
  if (event.type !== "trade.signal_generated") return all;
  return [event, ...all.filter((one) => one.signal_id !== event.signal_id)].slice(0, KEPT);
}
