import { afterClose } from "./closing.js";
import type { CourierGap } from "./events.js";
import { careful, Handlers, type Handler, type OnError } from "./handlers.js";
import type { Gap } from "./inbox.js";
import { checkChannel, checkSince, checkTokens, checkUrl, checkKey, type SharedOptions } from "./options.js";
import { parse, step } from "./position.js";
import type { AnyChannel, AnyEvent } from "./register.js";
import type { State } from "./state.js";
import { Reader, type Load, type Subscription } from "./subscription.js";
import { DirectTrunk, LateTrunk, type Trunk, type TrunkEvents } from "./trunk.js";

export interface SubscribeOptions {
  /**
   * Start after this position, or after this time (ISO 8601 with a `T` and a zone); else with the next event.
   */
  since?: string | null | undefined;
  /** As `Subscription.onGap`. */
  onGap?: Handler<Gap> | undefined;
  /**
   * Called when the subscription has begun, and again where events are missing: load, and show, the state that the
   * events change. The events after that wait for its promise, so that none is missed in between; those that came
   * while it loaded may be in the state already. When it fails, it is tried again.
   */
  load?: Load | undefined;
}

/** A channel that is, or is to be, subscribed on the trunk. */
interface Line {
  /** Who reads it; none when it is to be ended. */
  reader?: Reader;
  /** Of its subscription on the trunk, if there is one. */
  ref?: number | undefined;
  /** Where it was to start. */
  asked?: string | undefined;
  /** It has begun. */
  live?: boolean;
}

/**
 * Many channels on one WebSocket, which is open while something is subscribed.
 *
 * Whatever breaks it, it comes back, and each channel goes on where it was. What is wrong with one channel
 * ends that subscription and no other.
 *
 * The constructor throws TypeError, which names the value, where an option cannot be what it is for.
 */
export class CourierConnection {
  readonly #onError: OnError;
  #trunk: Trunk;
  readonly #lines = new Map<AnyChannel, Line>();
  readonly #states: Handlers<State>;
  #lastRef = 0;
  /** `#settle` is about to be called. */
  #soon = false;

  constructor(options: SharedOptions) {
    checkUrl(options.url);
    checkTokens(options);
    checkKey(options.shareAcrossTabs);
    this.#onError = careful(options.onError);
    this.#states = new Handlers(this.#onError);
    const events: TrunkEvents = {
      state: (state) => this.#moved(state),
      subscribed: (ref, position, recovered) => {
        const line = this.#line(ref);
        if (!line) return;
        line.live = true;
        line.reader?.subscribed(position, recovered);
      },
      delivered: (item) => this.#delivered(item),
      ended: (ref, code, reason) => {
        const line = this.#line(ref);
        if (!line) return;
        this.#off(line);
        line.reader?.ended(code, reason);
        this.#change();
      },
    };
    const direct = (heard: TrunkEvents) => new DirectTrunk(options, heard);
    const load = async () => {
      const trunk = await import("./tabs.js").then(
        ({ SharedTrunk }) =>
          new SharedTrunk(
            `courier ${options.url} ${options.shareAcrossTabs}`,
            { direct, afterClose, parse, step },
            events,
          ),
        (error: unknown) => {
          this.#onError(error);
          return direct(events); // rather a socket of its own than none
        },
      );
      const { status } = this.state;
      this.#trunk = trunk;
      if (status !== "idle") trunk.start();
    };
    // Locks elect one of the tabs, and a channel is between them.
    const { navigator, BroadcastChannel } = globalThis as Partial<typeof globalThis>;
    this.#trunk =
      options.shareAcrossTabs && navigator?.locks && BroadcastChannel
        ? (new LateTrunk(events, load) as Partial<Trunk> as Trunk)
        : direct(events);
  }

  /** Of the connection: `idle` while nothing is subscribed. */
  get state(): State {
    return this.#trunk.state;
  }

  /** Calls `handler` with each new state; what you get removes it. */
  onState(handler: Handler<State>): () => void {
    return this.#states.add(() => handler(this.state));
  }

  /**
   * Subscribes. A channel has one subscription at a time: Error for one that is subscribed. One that was
   * unsubscribed in the same moment goes on, and Courier hears nothing of it.
   */
  subscribe(channel: AnyChannel, { since, onGap, load }: SubscribeOptions = {}): Subscription {
    checkChannel(channel);
    checkSince(since);
    const line: Line = this.#lines.get(channel) ?? {};
    if (line.reader && line.reader.state.status !== "closed")
      throw new Error(`${channel} is subscribed already`);
    const seen = line.live && line.reader?.whole ? line.reader.seen : undefined;
    const goesOn = seen !== undefined && (since == null || since === seen);
    const isAsked = line.ref && !line.live && line.asked === (since ?? undefined);
    const reader = new Reader(
      channel,
      since ?? (goesOn ? seen : undefined),
      {
        onError: this.#onError,
        changed: () => this.#change(),
        retry: (retried) => {
          retried.revive();
          if (this.state.status !== "open") this.#trunk.start();
          this.#change();
        },
      },
      load,
    );
    if (onGap) reader.onGap(onGap);
    if (!goesOn && !isAsked) this.#end(line);
    line.reader = reader;
    this.#lines.set(channel, line);
    if (goesOn) queueMicrotask(() => reader.subscribed(seen, true)); // once its handlers are there
    this.#change();
    return reader;
  }

  /** Ends all subscriptions, and the connection. */
  close(): void {
    for (const { reader } of this.#lines.values()) reader?.unsubscribe();
    this.#settle();
  }

  // What is wanted, and what there is

  /** Once all that is done in this moment is done, the trunk hears what is different. */
  #change(): void {
    if (this.#soon) return;
    this.#soon = true;
    queueMicrotask(() => this.#settle());
  }

  #settle(): void {
    this.#soon = false;
    let asked = false;
    for (const [channel, line] of this.#lines) {
      const wanted = line.reader?.wanted;
      asked ||= wanted ?? false;
      if (line.ref && !wanted) this.#end(line);
      if (line.reader?.state.status === "closed") this.#lines.delete(channel);
      else if (wanted && !line.ref && line.reader && this.state.status === "open") {
        line.ref = ++this.#lastRef;
        line.reader.become({ status: "connecting" });
        line.asked = line.reader.seen;
        this.#trunk.subscribe(line.ref, channel, line.asked);
      }
    }
    if (this.#lines.size === 0) this.#trunk.stop();
    // Where Courier refused it: something new was subscribed since.
    else if (this.state.status === "idle" || (this.state.status === "refused" && asked)) this.#trunk.start();
  }

  #end(line: Line): void {
    const { ref } = line;
    this.#off(line);
    if (ref && this.state.status === "open") this.#trunk.unsubscribe(ref);
  }

  #off(line: Line): void {
    line.ref = undefined;
    line.live = false;
  }

  // What comes

  #moved(state: State): void {
    if (state.status !== "open") {
      for (const line of this.#lines.values()) {
        this.#off(line);
        if (state.status !== "idle") line.reader?.follow(state);
      }
    }
    void this.#states.emit(state);
    if (state.status === "open") this.#settle();
  }

  #delivered(item: AnyEvent | CourierGap): string | undefined {
    const line = this.#lines.get(item.channel);
    if (!line?.live) return undefined;
    if (line.reader?.state.status !== "closed") return line.reader?.take(item);
    this.#end(line); // who subscribes again goes on behind what was taken, and this was not
    return undefined;
  }

  #line(ref: number): Line | undefined {
    for (const line of this.#lines.values()) if (line.ref === ref) return line;
    return undefined;
  }
}
