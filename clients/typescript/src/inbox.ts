import type { CourierGap, GapReason } from "./events.js";
import { Handlers, type OnError } from "./handlers.js";
import { before, isPosition, step } from "./position.js";
import type { AnyEvent } from "./register.js";

/** Says that events are missing between `requested` and what comes after `resumed_from`. */
export interface Gap extends Omit<CourierGap, "reason"> {
  /** Courier's reason; `hole` when Courier gave none, and the events' ids show that some did not come. */
  reason: GapReason | "hole";
}

/** As many items may wait for handlers that give promises. */
const MOST_ITEMS = 1_000;

interface Item {
  /** Where the subscription stands once it is handled. */
  position: string;
  handle: () => Promise<unknown> | undefined;
}

/**
 * What has come and is not yet handled. Handlers see each event once and in order: the next one waits for the
 * promises that they gave, and what came twice is dropped.
 */
export class Inbox {
  readonly messages: Handlers<AnyEvent>;
  readonly gaps: Handlers<Gap>;
  /** Behind the last item that was handled. */
  position: string | undefined;
  readonly #onIdle: () => void;
  #seen: string | undefined;
  #handling: string | undefined;
  #items: Item[] = [];

  /** `onIdle` is called when handlers that gave promises are done with all that has come. */
  constructor(since: string | undefined, onError: OnError, onIdle: () => void) {
    this.messages = new Handlers(onError);
    this.gaps = new Handlers(onError);
    this.position = this.#seen = since;
    this.#onIdle = onIdle;
  }

  /** Behind the last item that has come: where the next connection goes on. */
  get seen(): string | undefined {
    return this.#seen;
  }

  /** Whether no more should come for now. */
  get full(): boolean {
    return this.#items.length >= MOST_ITEMS;
  }

  /**
   * A connection begins at `position`. That counts where there was no position before. Otherwise ids are
   * compared with what was seen; and what was not recovered is told by a gap, which must come again if it
   * does not arrive.
   */
  joined(position: string, recovered: boolean): void {
    const first = this.#seen === undefined || (recovered && !isPosition(this.#seen));
    if (first) this.position = this.#seen = position;
  }

  /** Takes what was delivered, and handles it when its turn has come. False when its id is no position. */
  take(item: AnyEvent | CourierGap): boolean {
    if (item.type === "courier.gap") {
      this.#put(item.resumed_from, this.gaps, item);
    } else {
      const follows = step(this.#seen, item.id);
      if (follows === undefined) return false;
      if (follows === "hole") this.#put(before(item.id), this.gaps, this.#hole(item));
      if (follows !== "repeat") this.#put(item.id, this.messages, item);
    }
    this.#work();
    return true;
  }

  /** Once it has joined: does something in its turn; what comes after it waits for the promise. */
  wait(handle: () => Promise<unknown>): void {
    this.#items.push({ position: this.#seen!, handle });
    this.#work();
  }

  /** Forgets what is not handled: it comes again. */
  clear(): void {
    this.#items = [];
    this.#seen = this.#handling ?? this.position;
  }

  #put<T>(position: string, handlers: Handlers<T>, value: T): void {
    this.#seen = position;
    this.#items.push({ position, handle: () => handlers.emit(value) });
  }

  #work(): void {
    while (this.#handling === undefined) {
      const item = this.#items.shift();
      if (!item) return;
      this.#handling = item.position;
      const pending = item.handle();
      if (pending) {
        void pending.then(() => {
          this.#done(item);
          this.#work();
          if (this.#handling === undefined) this.#onIdle();
        });
        return;
      }
      this.#done(item);
    }
  }

  #done(item: Item): void {
    this.#handling = undefined;
    this.position = item.position;
  }

  #hole({ id, channel }: AnyEvent): Gap {
    const requested = this.#seen ?? "";
    return { type: "courier.gap", channel, requested, resumed_from: before(id), reason: "hole" };
  }
}
