import { Inbox, type Gap } from "./inbox.js";
import type { Handler } from "./handlers.js";
import { isItem } from "./connection.js";
import { Lifecycle } from "./lifecycle.js";
import { checkedOptions, type ClientOptions } from "./options.js";
import type { AnyChannel, AnyEvent } from "./register.js";
import type { State } from "./state.js";
import { subscriptionUrl } from "./websocket.js";

/**
 * A subscription to one channel, on a connection of its own: each event once and in order, or a gap where
 * some are missing.
 *
 * `connect` starts it. Whatever breaks the connection, it comes back and goes on where it was, for ever,
 * until `disconnect` or until Courier says not to come back: then its state is `refused`.
 *
 * The constructor throws TypeError, which names the value, where an option cannot be what it is for.
 */
export class CourierClient {
  readonly channel: AnyChannel;
  readonly #inbox: Inbox;
  readonly #life: Lifecycle;
  #join: Promise<void> | undefined;

  constructor(options: ClientOptions);
  /** For a token that outlives the subscription, where the platform has a WebSocket. */
  constructor(url: string, channel: AnyChannel, token: string);
  constructor(...given: [ClientOptions] | [url: string, channel: AnyChannel, token: string]) {
    const options = checkedOptions(given);
    const { channel, url, since } = options;
    this.channel = channel;
    this.#life = new Lifecycle(options, {
      url: () => subscriptionUrl(url, channel, inbox.seen),
      busy: () => (inbox.full ? "Handlers are behind" : undefined), // until the inbox is empty
      hear: (message) => {
        if (message.type === "courier.joined") inbox.joined(message.position, message.recovered);
        else if (isItem(message) && !inbox.take(message)) return "An event without a position";
        else if (inbox.full) this.#life.open();
        return undefined;
      },
    });
    const inbox = (this.#inbox = new Inbox(since ?? undefined, this.#life.onError, () => {
      const { state } = this.#life;
      if (state.status === "waiting" && state.retryAt === undefined) this.#life.open();
    }));
  }

  get state(): State {
    return this.#life.state;
  }

  /**
   * Behind the last event or gap whose handlers have run; before the first of them, where the subscription
   * begins. Keep it, and give it as `since` to go on there.
   */
  get position(): string | undefined {
    return this.#inbox.position;
  }

  /**
   * Calls `handler` with each event; what you get removes it. The next event waits for a promise that it
   * gives.
   */
  onMessage(handler: Handler<AnyEvent>): () => void {
    return this.#inbox.messages.add(handler);
  }

  /** Calls `handler` where events are missing, before the event that follows; what you get removes it. */
  onGap(handler: Handler<Gap>): () => void {
    return this.#inbox.gaps.add(handler);
  }

  /** Calls `handler` with each new state; what you get removes it. */
  onState(handler: Handler<State>): () => void {
    // The state of now: a handler before this one may have called `disconnect`.
    return this.#life.states.add(() => handler(this.state));
  }

  /**
   * Starts, or goes on behind `position`. Where the client waits for its next try, it tries at once.
   *
   * The promise is fulfilled when Courier has answered: events come. It is rejected when Courier refuses, or
   * `disconnect` is called, before that; the error's `cause` is the state. It may be ignored.
   */
  connect(): Promise<void> {
    if (this.state.status === "open") return Promise.resolve();
    const joined = (this.#join ??= this.#nextJoin());
    this.#life.start();
    return joined;
  }

  /** Ends the subscription. Events that are not handled yet come again with the next `connect`. */
  disconnect(): void {
    if (this.state.status === "closed") return;
    this.#inbox.clear();
    this.#life.stop({ status: "closed" });
  }

  #nextJoin(): Promise<void> {
    const join = new Promise<void>((resolve, reject) => {
      const stop = this.onState((state) => {
        if (state.status === "open") resolve();
        else if (state.status === "refused")
          reject(
            new Error(`Courier refuses ${this.channel}: ${state.reason} (${state.code})`, { cause: state }),
          );
        else if (state.status === "closed")
          reject(new Error("`disconnect` was called before Courier answered", { cause: state }));
        else return;
        stop();
        this.#join = undefined;
      });
    });
    join.catch(() => undefined); // it may be ignored
    return join;
  }
}
