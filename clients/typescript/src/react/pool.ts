import type { OnError } from "../handlers.js";
import type { CourierConnection } from "../many.js";
import type { AnyChannel, AnyEvent } from "../register.js";
import { EventRouter } from "../router.js";
import { IDLE, SharedChannel, type Subscription } from "./channel.js";
import { FollowedState, type Shown } from "./state.js";

/** The channels that the components of one provider have open, on one socket. */
export class Pool {
  readonly #channels = new Map<AnyChannel, SharedChannel>();
  readonly #connect: () => CourierConnection;
  readonly #since: (channel: AnyChannel) => string | null | undefined;
  readonly #onError: OnError;
  readonly #all: EventRouter;
  #connection: CourierConnection | undefined;
  #closing: ReturnType<typeof setTimeout> | undefined;

  /** `connect` is called when the first channel is opened, and `since` is asked for each. */
  constructor(
    connect: () => CourierConnection,
    since: (channel: AnyChannel) => string | null | undefined,
    onError: OnError,
  ) {
    this.#connect = connect;
    this.#since = since;
    this.#onError = onError;
    this.#all = new EventRouter({ onError });
  }

  /** What a component sees of a channel now. */
  see(channel: AnyChannel): Subscription {
    return this.#channels.get(channel)?.seen ?? IDLE;
  }

  /** Keeps a channel open, and tells when there is something else to see of it. */
  watch(channel: AnyChannel, listener: () => void): () => void {
    const shared = this.#channel(channel);
    const deafen = shared.listen(listener);
    const release = shared.use();
    return () => {
      deafen();
      release();
    };
  }

  /**
   * Keeps a channel open, and calls `handler` with its events of a type; without a channel, of all open ones.
   */
  listen(
    channel: AnyChannel | undefined,
    type: AnyEvent["type"],
    handler: (event: AnyEvent) => unknown,
  ): () => void {
    if (channel === undefined) return this.#all.on(type, handler);
    const shared = this.#channel(channel);
    const deafen = shared.router.on(type, handler);
    const release = shared.use();
    return () => {
      deafen();
      release();
    };
  }

  /** Keeps a channel open, and a state that its events change. */
  follow<S>(channel: AnyChannel, shown: Omit<Shown<S>, "onError">): () => void {
    const shared = this.#channel(channel);
    const release = shared.use();
    const stop = shared.follow(new FollowedState({ onError: this.#onError, ...shown }));
    return () => {
      stop();
      release();
    };
  }

  /** Another try for what was refused, now that there is another token. */
  retry(): void {
    for (const shared of this.#channels.values()) shared.retry();
  }

  /** The provider is there; what you get closes all, unless it is there again in a moment. */
  mount(): () => void {
    clearTimeout(this.#closing);
    return () => {
      this.#closing = setTimeout(() => {
        for (const shared of this.#channels.values()) shared.close();
        this.#channels.clear();
        this.#connection?.close();
      });
    };
  }

  #channel(channel: AnyChannel): SharedChannel {
    const open = this.#channels.get(channel);
    if (open) return open;
    const subscribe = () => {
      this.#connection ??= this.#connect();
      return this.#connection.subscribe(channel, { since: this.#since(channel) });
    };
    const shared = new SharedChannel(subscribe, this.#all.dispatch, this.#onError, () => {
      shared.close();
      this.#channels.delete(channel);
    });
    this.#channels.set(channel, shared);
    return shared;
  }
}
