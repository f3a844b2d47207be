import { CourierClient } from "../client.js";
import type { ClientOptions } from "../options.js";
import type { Gap } from "../inbox.js";
import type { AnyEvent } from "../register.js";
import { EventRouter } from "../router.js";
import type { State } from "../state.js";

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

/** One channel's client, for as long as a component uses it, and a little longer. */
export class SharedChannel {
  readonly router: EventRouter;
  readonly #client: CourierClient;
  readonly #onUnused: () => void;
  readonly #listeners = new Set<() => void>();
  #users = 0;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #seen = IDLE;

  constructor(options: ClientOptions, dispatch: (event: AnyEvent) => unknown, onUnused: () => void) {
    this.#client = new CourierClient(options);
    this.router = new EventRouter({ onError: options.onError });
    this.#onUnused = onUnused;
    this.#client.onMessage(this.router.dispatch);
    this.#client.onMessage(dispatch);
    this.#client.onGap((gap) => this.#show({ gap }));
    this.#client.onState((state) => this.#show({ state }));
  }

  get seen(): Subscription {
    return this.#seen;
  }

  /** Keeps it open until the release. */
  use(): () => void {
    clearTimeout(this.#linger);
    this.#users++;
    if (this.#client.state.status === "idle") void this.#client.connect();
    return () => {
      if (--this.#users === 0) this.#linger = setTimeout(this.#onUnused, LINGER_MS);
    };
  }

  /** Calls `listener` when there is something else to see. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another try, now that there is another token. */
  retry(): void {
    if (this.#client.state.status === "refused") void this.#client.connect();
  }

  close(): void {
    clearTimeout(this.#linger);
    this.#client.disconnect();
  }

  #show(change: Partial<Pick<Subscription, "state" | "gap">>): void {
    const { state, gap } = { ...this.#seen, ...change };
    const client = this.#client;
    this.#seen = {
      state,
      gap,
      get position() {
        return client.position;
      },
      dismissGap: this.#dismissGap,
      connect: this.#connect,
    };
    for (const listener of [...this.#listeners]) listener();
  }

  readonly #dismissGap = () => {
    if (this.#seen.gap) this.#show({ gap: undefined });
  };

  readonly #connect = () => void this.#client.connect();
}
