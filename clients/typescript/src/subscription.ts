import { backoff } from "./backoff.js";
import { afterClose } from "./closing.js";
import type { CourierGap } from "./events.js";
import { Handlers, type Handler, type OnError } from "./handlers.js";
import { Inbox, type Gap } from "./inbox.js";
import { persist } from "./persist.js";
import type { AnyChannel, AnyEvent } from "./register.js";
import type { State } from "./state.js";

/** A subscription that lasted so long was a good one: the next backoff begins anew. */
const SETTLED_MS = 10_000;

/** One channel on a `CourierConnection`: each event once and in order, or a gap where some are missing. */
export interface Subscription {
  readonly channel: AnyChannel;
  /** `open`: events come; `refused`: Courier does not want it back; `closed`: `unsubscribe` was called. */
  readonly state: State;
  /**
   * Behind the last event or gap whose handlers have run; before the first of them, where the subscription
   * begins. Keep it, and give it as `since` to go on there.
   */
  readonly position: string | undefined;
  /**
   * Calls `handler` with each event; what you get removes it. The next event of the channel waits for a promise
   * that it gives.
   */
  onMessage(handler: Handler<AnyEvent>): () => void;
  /** Calls `handler` where events are missing, before the event that follows; what you get removes it. */
  onGap(handler: Handler<Gap>): () => void;
  /** Calls `handler` with each new state; what you get removes it. */
  onState(handler: Handler<State>): () => void;
  /** Tries at once where the next try is far, or where Courier has refused. */
  retry(): void;
  /** Ends it: no handler is called any more. */
  unsubscribe(): void;
}

/** Loads, and shows, what the events of a channel change. */
export type Load = () => unknown;

/** What a subscription asks of its connection. */
export interface Owner {
  readonly onError: OnError;
  /** What the subscription wants may be otherwise now. */
  changed(): void;
  /** The subscription is to be tried at once. */
  retry(reader: Reader): void;
}

/** A subscription, with what its connection does with it. */
export class Reader implements Subscription {
  readonly channel: AnyChannel;
  readonly #owner: Owner;
  readonly #inbox: Inbox;
  readonly #states: Handlers<State>;
  #state: State = { status: "connecting" };
  #failures = 0;
  #openedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Its handlers are behind: nothing more should come until they are not. */
  #behind = false;
  /** Courier has refused the channel, and not the connection. */
  #refused = false;
  #whole = false;
  /** Loads the state for the first time, if it is to be loaded and was not yet. */
  #load: (() => Promise<unknown>) | undefined;

  constructor(channel: AnyChannel, since: string | undefined, owner: Owner, load?: Load) {
    this.channel = channel;
    this.#owner = owner;
    this.#states = new Handlers(owner.onError);
    this.#inbox = new Inbox(since, owner.onError, () => {
      if (!this.#behind) return;
      this.#behind = false;
      owner.changed();
    });
    if (load) {
      this.#load = () => persist(load, owner.onError, () => this.#state.status !== "closed");
      this.onGap(this.#load);
    }
  }

  get state(): State {
    return this.#state;
  }

  get position(): string | undefined {
    return this.#inbox.position;
  }

  onMessage(handler: Handler<AnyEvent>): () => void {
    return this.#inbox.messages.add(handler);
  }

  onGap(handler: Handler<Gap>): () => void {
    return this.#inbox.gaps.add(handler);
  }

  onState(handler: Handler<State>): () => void {
    return this.#states.add(() => handler(this.#state));
  }

  retry(): void {
    if (/waiting|refused/.test(this.#state.status)) this.#owner.retry(this);
  }

  unsubscribe(): void {
    if (this.#state.status === "closed") return;
    this.calm();
    const { seen } = this;
    this.#inbox.clear();
    this.#whole = this.seen === seen;
    this.become({ status: "closed" });
    this.#owner.changed();
  }

  // What its connection does with it

  /** Behind the last item that has come: where it goes on. */
  get seen(): string | undefined {
    return this.#inbox.seen;
  }

  /** Closed, with nothing that its handlers have not had: another one may go on behind `seen`. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Whether it is to be subscribed now. */
  get wanted(): boolean {
    return this.#timer === undefined && !this.#behind && !/refused|closed/.test(this.#state.status);
  }

  subscribed(position: string, recovered: boolean): void {
    this.#inbox.joined(position, recovered);
    this.#openedAt = performance.now();
    if (this.#load) this.#inbox.wait(this.#load);
    this.#load = undefined;
    this.become({ status: "open" });
  }

  /** Takes what has come. What it gives says why the connection is of no use. */
  take(item: AnyEvent | CourierGap): string | undefined {
    if (!this.#inbox.take(item)) return "An event without a position";
    if (this.#inbox.full) {
      this.#behind = true;
      this.become({ status: "waiting", reason: "Handlers are behind" }); // until the inbox is empty
      this.#owner.changed();
    }
    return undefined;
  }

  /** Courier has ended it. */
  ended(code: number, reason: string): void {
    if (afterClose(code, reason) === "no") {
      this.#refused = true;
      this.become({ status: "refused", code, reason });
      return;
    }
    if (performance.now() - this.#openedAt >= SETTLED_MS) this.#failures = 0;
    const wholeMs = Math.ceil(backoff(this.#failures++));
    this.calm();
    this.#timer = setTimeout(() => {
      this.calm();
      this.#owner.changed();
    }, wholeMs);
    this.become({ status: "waiting", retryAt: Date.now() + wholeMs, reason });
  }

  /** The connection is in this state. */
  follow(state: State): void {
    this.calm();
    if (!this.#refused) this.become(state);
  }

  /** It is to be tried again. */
  revive(): void {
    this.#refused = false;
    this.follow({ status: "connecting" });
  }

  /** Waits for nothing any more. */
  calm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  become(state: State): void {
    if (
      this.#state.status === "closed" ||
      (state.status === "connecting" && this.#state.status === "connecting")
    )
      return;
    this.#state = state;
    void this.#states.emit(state);
  }
}
