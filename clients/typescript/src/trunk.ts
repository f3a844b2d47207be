import { isItem } from "./connection.js";
import type { CourierGap } from "./events.js";
import { Lifecycle } from "./lifecycle.js";
import type { ConnectionOptions } from "./options.js";
import type { AnyEvent } from "./register.js";
import type { State } from "./state.js";
import { subscriptionUrl } from "./websocket.js";

/** What comes of a trunk. */
export interface TrunkEvents {
  /** When it is open, nothing is subscribed on it yet. */
  state(state: State): void;
  subscribed(ref: number, position: string, recovered: boolean): void;
  /** Something of a channel that is subscribed. What it gives says why the connection is of no use. */
  delivered(item: AnyEvent | CourierGap): string | undefined;
  /** A subscription has ended, in whatever way; nothing of it follows. */
  ended(ref: number, code: number, reason: string): void;
}

/** Carries subscriptions to Courier: over a WebSocket of its own, or over that of another tab. */
export interface Trunk {
  readonly state: State;
  /** Keeps a connection; where it waits for its next try, it tries at once. */
  start(): void;
  /** Keeps none. */
  stop(): void;
  /** While it is open: subscribes. `ref` is larger than each before it; a channel has one at a time. */
  subscribe(ref: number, channel: string, since: string | undefined): void;
  /** While it is open: ends a subscription. `ended` follows. */
  unsubscribe(ref: number): void;
}

/** A trunk over a WebSocket of its own. */
export class DirectTrunk implements Trunk {
  readonly #life: Lifecycle;

  constructor(options: ConnectionOptions, events: TrunkEvents) {
    this.#life = new Lifecycle(options, {
      url: () => subscriptionUrl(options.url),
      hear: (message) => {
        if (message.type === "courier.subscribed")
          events.subscribed(message.ref, message.position, message.recovered);
        else if (message.type === "courier.ended") events.ended(message.ref, message.code, message.reason);
        else if (isItem(message)) return events.delivered(message);
        return undefined;
      },
    });
    this.#life.states.add((state) => events.state(state));
  }

  get state(): State {
    return this.#life.state;
  }

  start(): void {
    this.#life.start();
  }

  stop(): void {
    if (this.state.status !== "idle") this.#life.stop({ status: "idle" });
  }

  subscribe(ref: number, channel: string, since: string | undefined): void {
    this.#life.say({ type: "courier.subscribe", ref, channel, since });
  }

  unsubscribe(ref: number): void {
    this.#life.say({ type: "courier.unsubscribe", ref });
  }
}

/** What takes the place of a trunk until that is loaded: it is never open, and nothing is subscribed on it. */
export class LateTrunk implements Pick<Trunk, "state" | "start" | "stop"> {
  state: State = { status: "idle" };
  readonly #events: TrunkEvents;
  #load: (() => unknown) | undefined;

  /** `load` is called once, when the trunk is wanted. */
  constructor(events: TrunkEvents, load: () => unknown) {
    this.#events = events;
    this.#load = load;
  }

  start(): void {
    this.#become({ status: "connecting" });
    this.#load?.();
    this.#load = undefined;
  }

  stop(): void {
    if (this.state.status !== "idle") this.#become({ status: "idle" });
  }

  #become(state: State): void {
    this.state = state;
    this.#events.state(state);
  }
}
