import type { DeliveredEvent } from "./events.js";

/**
 * Where an application whose Courier has event types of its own says so, once for the client, the router and
 * the hooks. Its types come from `courier contract typescript`, run with its `COURIER_EVENT_MODULES`.
 *
 *     import type { Channel, DeliveredEvent } from "./events.js";
 *     declare module "@courier/client" {
 *       interface Register { event: DeliveredEvent; channel: Channel }
 *     }
 *
 * `channel` is optional: with it a name that no kind has does not compile.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- others add to it
export interface Register {}

/** An event as it is delivered, of any type. */
export type AnyEvent = Register extends {
  event: infer E extends { type: string; id: string; channel: string };
}
  ? E
  : DeliveredEvent;

export type AnyEventType = AnyEvent["type"];

/** The delivered event of one type. */
export type AnyEventOf<T extends AnyEventType> = Extract<AnyEvent, { type: T }>;

/** A channel's name. */
export type AnyChannel = Register extends { channel: infer C extends string } ? C : string;
