import type { OnError } from "../handlers.js";
import type { Gap } from "../inbox.js";
import type { AnyEvent } from "../register.js";
import { EventRouter } from "../router.js";
import type { State } from "../state.js";
import type { Subscription as CourierSubscription } from "../subscription.js";
import type { Follower } from "./state.js";

/** Strict mode, and a change of page, unmount what they mount again. */
const LINGER_MS = 5_000;

/** What a component sees of a channel. Another object whenever `state` or `gap` is another. */
export interface Subscription {
  readonly state: State;
  /** Where events are missing, the last time that some were; until `dismissGap`. */
  readonly gap: Gap | undefined;
  /**
   * Behind the last event whose handlers have run. It is as it is when read: no event renders a component.
   */
  readonly position: string | undefined;
  readonly dismissGap: () => void;
  /** Tries at once where the next try is far, or where Courier has refused. */
  readonly connect: () => void;
}

const nothing = () => undefined;

/** What there is to see where nothing is mounted, and on a server. */
export const IDLE: Subscription = {
  state: { status: "idle" },
  gap: undefined,
  position: undefined,
  dismissGap: nothing,
  connect: nothing,
};

/** One channel's subscription, for as long as a component uses it, and a little longer. */
export class SharedChannel {
  readonly router: EventRouter;
  readonly #subscribe: () => CourierSubscription;
  readonly #dispatch: (event: AnyEvent) => unknown;
  readonly #onUnused: () => void;
  readonly #listeners = new Set<() => void>();
  #subscription: CourierSubscription | undefined;
  readonly #followers = new Set<Follower>();
  #users = 0;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #seen = IDLE;

  constructor(
    subscribe: () => CourierSubscription,
    dispatch: (event: AnyEvent) => unknown,
    onError: OnError,
    onUnused: () => void,
  ) {
    this.#subscribe = subscribe;
    this.#dispatch = dispatch;
    this.#onUnused = onUnused;
    this.router = new EventRouter({ onError });
  }

  get seen(): Subscription {
    return this.#seen;
  }

  /** Keeps it open until the release. */
  use(): () => void {
    clearTimeout(this.#linger);
    this.#users++;
    if (!this.#subscription) this.#open();
    return () => {
      if (--this.#users === 0) this.#linger = setTimeout(this.#onUnused, LINGER_MS);
    };
  }

  #open(): void {
    const subscription = (this.#subscription = this.#subscribe());
    subscription.onMessage(this.router.dispatch);
    subscription.onMessage(this.#dispatch);
    subscription.onMessage((event) => this.#followers.forEach((state) => state.take(event)));
    subscription.onGap((gap) => {
      this.#followers.forEach((state) => void state.load());
      this.#show({ gap });
    });
    subscription.onState((state) => this.#show({ state }));
    this.#show({ state: subscription.state });
  }

  /** Loads a state once it is open, and keeps it; what you get stops that. */
  follow(state: Follower): () => void {
    this.#followers.add(state);
    let begun = false;
    const begin = () => {
      if (begun || this.#seen.state.status !== "open") return;
      begun = true;
      void state.load();
    };
    const deafen = this.listen(begin);
    begin();
    return () => {
      deafen();
      this.#followers.delete(state);
      state.stop();
    };
  }

  /** Calls `listener` when there is something else to see. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another try, now that there is another token. */
  retry(): void {
    if (this.#subscription?.state.status === "refused") this.#subscription.retry();
  }

  close(): void {
    clearTimeout(this.#linger);
    this.#subscription?.unsubscribe();
  }

  #show(change: Partial<Pick<Subscription, "state" | "gap">>): void {
    const { state, gap } = { ...this.#seen, ...change };
    const subscription = this.#subscription;
    this.#seen = {
      state,
      gap,
      get position() {
        return subscription?.position;
      },
      dismissGap: this.#dismissGap,
      connect: this.#connect,
    };
    for (const listener of [...this.#listeners]) listener();
  }

  readonly #dismissGap = () => {
    if (this.#seen.gap) this.#show({ gap: undefined });
  };

  readonly #connect = () => this.#subscription?.retry();
}
