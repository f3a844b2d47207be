import type { ComeBack, CourierGap } from "./events.js";
import type { Position } from "./position.js";
import type { AnyEvent } from "./register.js";
import type { State } from "./state.js";
import type { Trunk, TrunkEvents } from "./trunk.js";

/**
 * What tabs need of the client that loads them. It is handed to them, and not imported, so that a bundler makes one
 * file of them, and leaves the client's in one.
 */
export interface Kit {
  /** A trunk over a WebSocket of this tab's. */
  direct(events: TrunkEvents): Trunk;
  afterClose(code: number, reason: string): ComeBack;
  readonly parse: (text: unknown) => Position | undefined;
  step(seen: string | undefined, id: unknown): unknown;
}

/** By how many events `one` is ahead of `other`; NaN where nobody can say, as of positions in two epochs. */
export function ahead({ parse }: Kit, one: string | undefined, other: string | undefined): number {
  const [here, there] = [parse(one), parse(other)];
  return here && here.epoch === there?.epoch ? here.offset - there.offset : NaN;
}

/** What the leading tab says to all tabs. */
export type Said =
  | { readonly state: State }
  | { readonly item: AnyEvent | CourierGap }
  | (Answer & { readonly position: string; readonly recovered: boolean })
  | (Partial<Answer> & { readonly channel: string; readonly code: number; readonly reason: string });

/** To those tabs that asked for a channel's events after `asked`; null: for the next ones. */
interface Answer {
  readonly channel: string;
  readonly asked: string | null;
}

/** One channel's subscription, for all tabs that want it. */
interface Line {
  readonly channel: string;
  readonly tabs: Set<string>;
  /** What was asked for and is not answered yet. */
  readonly wants: Set<string | null>;
  ref: number | undefined;
  /** With what it was subscribed, until Courier has answered. */
  asked: string | null | undefined;
  /** Behind the last item that came; undefined until it has begun. */
  seen: string | undefined;
  /** The same, or ahead of it while older events come again. */
  head: string | undefined;
  /** What comes now will come again. */
  muted: boolean;
}

/**
 * Reads the channels of all tabs on one connection.
 *
 * A channel has one subscription, however many tabs want it. One that wants older events than the others makes
 * it begin anew there; the others pass over what they have had.
 */
export class Relay {
  readonly #kit: Kit;
  readonly #trunk: Trunk;
  readonly #say: (said: Said) => void;
  readonly #lines = new Map<string, Line>();
  #lastRef = 0;

  constructor(kit: Kit, say: (said: Said) => void) {
    this.#kit = kit;
    this.#say = say;
    this.#trunk = kit.direct({
      state: (state) => {
        this.#lines.clear(); // when it is open, all tabs ask anew
        say({ state });
      },
      subscribed: (ref, position, recovered) => this.#begun(this.#line(ref), position, recovered),
      delivered: (item) => this.#pass(item),
      ended: (ref, code, reason) => this.#ended(this.#line(ref), code, reason),
    });
  }

  get state(): State {
    return this.#trunk.state;
  }

  start(): void {
    this.#trunk.start();
  }

  stop(): void {
    this.#trunk.stop();
  }

  /** A tab wants what comes on a channel after `since`. */
  want(tab: string, channel: string, since: string | null): void {
    if (this.state.status !== "open") return;
    const line = this.#lines.get(channel) ?? {
      channel,
      tabs: new Set<string>(),
      wants: new Set<string | null>(),
      ref: undefined,
      asked: undefined,
      seen: undefined,
      head: undefined,
      muted: false,
    };
    this.#lines.set(channel, line);
    line.tabs.add(tab);
    line.wants.add(since);
    this.#settle(line);
  }

  /** A tab wants a channel no more; without one, all of its channels. */
  drop(tab: string, channel?: string): void {
    for (const line of this.#lines.values()) {
      if (channel !== undefined && channel !== line.channel) continue;
      if (!line.tabs.delete(tab) || line.tabs.size > 0) continue;
      this.#lines.delete(line.channel);
      this.#unsubscribe(line);
    }
  }

  /** Answers what can be answered, and begins anew for what cannot. */
  #settle(line: Line): void {
    const { channel, wants, seen, head } = line;
    if (line.asked !== undefined) return; // Courier has not answered yet
    if (seen !== undefined) {
      for (const asked of wants) {
        if (asked !== null && !(ahead(this.#kit, asked, seen) >= 0)) continue;
        wants.delete(asked);
        this.#say({ channel, asked, position: asked ?? head!, recovered: true });
      }
    }
    if (wants.size > 0) this.#subscribe(line, this.#oldest(wants));
  }

  #subscribe(line: Line, asked: string | null): void {
    this.#unsubscribe(line);
    line.ref = ++this.#lastRef;
    line.asked = asked;
    this.#trunk.subscribe(line.ref, line.channel, asked ?? undefined);
  }

  #unsubscribe({ ref }: Line): void {
    if (ref !== undefined) this.#trunk.unsubscribe(ref);
  }

  // What Courier says

  #begun(line: Line | undefined, position: string, recovered: boolean): void {
    if (!line) return;
    const { channel, wants, asked = null, seen } = line;
    line.asked = undefined;
    wants.delete(asked);
    // Where that tab asked for what is not held any more, it begins ahead of the others: they come first.
    line.muted = asked !== seen && ahead(this.#kit, position, seen) > 0;
    if (!line.muted) this.#move(line, position);
    this.#say({ channel, asked, position, recovered });
    if (line.muted) this.#subscribe(line, seen!);
    else this.#settle(line);
  }

  #ended(line: Line | undefined, code: number, reason: string): void {
    if (!line) return;
    const { channel, asked, seen } = line;
    line.ref = line.asked = undefined;
    if (
      seen !== undefined &&
      asked !== undefined &&
      asked !== seen &&
      this.#kit.afterClose(code, reason) === "no"
    ) {
      // Perhaps it cannot be read since then: the others go on.
      line.wants.delete(asked);
      this.#say({ channel, asked, code, reason });
      this.#subscribe(line, seen);
    } else {
      this.#lines.delete(channel);
      this.#say({ channel, code, reason });
    }
  }

  #pass(item: AnyEvent | CourierGap): string | undefined {
    const line = this.#lines.get(item.channel);
    if (line?.seen === undefined) return undefined;
    if (item.type === "courier.gap") {
      this.#move(line, item.resumed_from);
    } else {
      if (!this.#kit.step(line.seen, item.id)) return "An event without a position";
      if (line.muted) return undefined;
      this.#move(line, item.id);
    }
    this.#say({ item });
    return undefined;
  }

  #move(line: Line, seen: string): void {
    line.seen = seen;
    if (!(ahead(this.#kit, line.head, seen) >= 0)) line.head = seen;
  }

  #line(ref: number): Line | undefined {
    for (const line of this.#lines.values()) if (line.ref === ref) return line;
    return undefined;
  }

  /** Where to begin: with the next event where a tab wants that, or else as early as can be said. */
  #oldest(wants: Set<string | null>): string | null {
    if (wants.has(null)) return null;
    return [...wants].reduce((found, want) => (ahead(this.#kit, want!, found!) < 0 ? want : found))!;
  }
}
