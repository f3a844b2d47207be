import type { OnError } from "../handlers.js";
import { persist } from "../persist.js";
import type { AnyEvent } from "../register.js";

/** As many events may wait for what is being loaded; where there are more, it is loaded again. */
const MOST_EVENTS = 1_000;

/** Who shows a state: what was loaded, and what each event makes of it. */
export interface Shown<S> {
  load: () => S | Promise<S>;
  loaded: (value: S) => void;
  event: (event: AnyEvent) => void;
  onError: OnError;
}

/** What a channel does with a state that it keeps. */
export interface Follower {
  load(): Promise<void>;
  take(event: AnyEvent): void;
  stop(): void;
}

/** A state, and the events since it was loaded: it is loaded at the start, and again after each gap. */
export class FollowedState<S> implements Follower {
  readonly #shown: Shown<S>;
  /** What came since the load began, until it is done. */
  #waiting: AnyEvent[] | undefined = [];
  #turn = 0;

  constructor(shown: Shown<S>) {
    this.#shown = shown;
  }

  /** The channel is open for the first time, or events are missing. */
  async load(): Promise<void> {
    const turn = this.stop();
    const { load, onError, loaded, event } = this.#shown;
    const events = (this.#waiting = [] as AnyEvent[]);
    const value = await persist<S>(load, onError, () => turn === this.#turn);
    if (turn !== this.#turn) return;
    if (events.length > MOST_EVENTS) return this.load();
    this.#waiting = undefined;
    loaded(value as S);
    events.forEach(event);
  }

  take(event: AnyEvent): void {
    if (!this.#waiting) this.#shown.event(event);
    else if (this.#waiting.length <= MOST_EVENTS) this.#waiting.push(event);
  }

  stop(): number {
    return ++this.#turn;
  }
}
