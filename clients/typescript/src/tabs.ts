import { ahead, Relay, type Kit, type Said } from "./relay.js";
import type { State } from "./state.js";
import type { Trunk, TrunkEvents } from "./trunk.js";

/**
 * How often a tab asks the leader whether it is there; after two questions without an answer it leads itself.
 * A leader that is hidden answers all the same: what a message sets off is not held up as timers are.
 */
const TICK_MS = 750;
const PATIENCE = 2;

/** What a tab says to the leader. */
interface Ask {
  readonly tab: string;
  readonly want?: string;
  readonly since?: string | null;
  readonly drop?: string;
  readonly start?: true;
  /** It is new here. */
  readonly hello?: true;
}

/** What the leader says to the tabs: of the highest term that they have heard of. */
type Word = { readonly term: number } & (Said | object);

interface Line {
  readonly ref: number;
  /** Behind what was delivered. */
  seen: string | undefined;
  /** The leader has answered: what it says of the channel follows on `seen`. */
  live: boolean;
}

/**
 * A trunk over the WebSocket of one tab, for all tabs of an origin that give the same key.
 *
 * A Web Lock elects the tab that leads. A leader that closes or crashes loses it; one that gives no answer,
 * frozen perhaps, has it stolen, and is told so when it runs again. The next leader's tabs ask it for
 * everything after what they have.
 */
export class SharedTrunk implements Trunk {
  state: State = { status: "idle" };
  readonly #kit: Kit;
  readonly #events: TrunkEvents;
  readonly #name: string;
  readonly #lines = new Map<string, Line>();
  /** While it is one of the tabs: ends when it leaves them. */
  #membership: AbortController | undefined;
  #air: BroadcastChannel | undefined;
  #tab = "";
  #timer: ReturnType<typeof setInterval> | undefined;
  #unanswered = 0;
  #term = 0;
  /** The term of another tab that leads, while this one does. */
  #rival = 0;
  /** While it leads. */
  #relay: Relay | undefined;
  #release: (() => void) | undefined;
  /** The request for the lock, while it waits. */
  #candidacy: AbortController | undefined;
  /** The page is frozen, or kept for a way back. */
  #asleep = false;

  /** `name`: of the lock and the channel that its tabs share. */
  constructor(name: string, kit: Kit, events: TrunkEvents) {
    this.#kit = kit;
    this.#events = events;
    this.#name = name;
    // Of a page that is closed they go with it.
    for (const [target, type, wakes] of [
      [globalThis, "pagehide", false],
      [globalThis, "pageshow", true],
      [globalThis.document, "freeze", false],
      [globalThis.document, "resume", true],
    ] as const)
      (target as Partial<EventTarget> | undefined)?.addEventListener?.(type, () => this.#sleep(!wakes));
  }

  start(): void {
    if (this.#membership) this.#ask({ start: true });
    else this.#join();
  }

  stop(): void {
    this.#asleep = false;
    if (this.state.status !== "idle") this.#leave({ status: "idle" });
  }

  subscribe(ref: number, channel: string, since: string | undefined): void {
    this.#lines.set(channel, { ref, seen: since, live: false });
    this.#ask({ want: channel, since: since ?? null });
  }

  unsubscribe(ref: number): void {
    for (const [channel, line] of this.#lines) if (line.ref === ref) this.#drop(channel);
  }

  #drop(channel: string): void {
    this.#lines.delete(channel);
    this.#ask({ drop: channel });
  }

  // One of the tabs

  #join(): void {
    const { signal } = (this.#membership = new AbortController());
    const tab = (this.#tab = `${Math.random()}`); // another one each time: the last one's lock is still being given up
    this.#air = new BroadcastChannel(this.#name);
    this.#air.onmessage = ({ data }: MessageEvent<Ask | Word>) => {
      if ("tab" in data) this.#serve(data);
      else this.#follow(data);
    };
    this.#become({ status: "connecting" });
    if (signal.aborted) return; // a handler of the state has stopped it
    // A lock that it has as long as it is there: the leader waits for it, and then knows that it is gone.
    void navigator.locks
      .request(`${this.#name} ${tab}`, { signal }, () => {
        this.#ask({ hello: true });
        return new Promise((gone) => signal.addEventListener("abort", gone));
      })
      .catch(() => undefined);
    this.#stand(false);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  #leave(state: State): void {
    this.#resign();
    clearInterval(this.#timer);
    this.#candidacy?.abort();
    this.#membership?.abort();
    this.#air?.close();
    this.#membership = this.#air = undefined;
    this.#become(state);
  }

  #sleep(asleep: boolean): void {
    if (asleep === this.#asleep || (asleep && !this.#membership)) return;
    this.#asleep = asleep;
    if (asleep) this.#leave({ status: "waiting", reason: "The page is hidden away" });
    else this.#join();
  }

  #ask(ask: Omit<Ask, "tab">): void {
    const whole = { tab: this.#tab, ...ask };
    if (this.#relay) this.#serve(whole);
    else this.#air?.postMessage(whole);
  }

  #tick(): void {
    if (this.#relay) {
      // One of the two has lost the lock, and will hear of it: this one goes on until then.
      if (this.#rival > this.#term) {
        this.#nextTerm(this.#rival);
        this.#say({ state: this.#relay.state });
      }
      return;
    }
    if (this.#unanswered++ < PATIENCE) this.#ask({});
    else this.#stand(true);
  }

  // The election

  /** Stands for leader: when its turn comes, or at once in the place of one that gives no answer. */
  #stand(steal: boolean): void {
    this.#candidacy?.abort();
    this.#unanswered = 0;
    const { signal } = (this.#candidacy = new AbortController());
    navigator.locks
      .request(this.#name, steal ? { steal } : { signal }, () => (signal.aborted ? undefined : this.#lead()))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        if ((error as Error).name === "AbortError") {
          this.#resign(); // another tab has stolen it
          this.#stand(false);
          this.#ask({ hello: true });
        } else {
          this.#air?.close(); // no locks for this page: it is alone
          this.#air = undefined;
          void this.#lead();
        }
      });
  }

  #lead(): Promise<void> {
    this.#nextTerm(this.#term);
    const relay = (this.#relay = new Relay(this.#kit, (said) => {
      if (relay !== this.#relay) return;
      // Another tab may have a token that is good.
      if ("state" in said && said.state.status === "refused") this.#leave(said.state);
      else this.#say(said);
    }));
    relay.start();
    return new Promise((release) => (this.#release = release));
  }

  /** Begins a term behind `term` that is no other tab's. */
  #nextTerm(term: number): void {
    this.#term = Math.floor(term) + 1 + Math.random();
  }

  #resign(): void {
    const relay = this.#relay;
    this.#relay = undefined;
    relay?.stop();
    this.#release?.();
    this.#release = undefined;
  }

  /** The leader hears what a tab asks. */
  #serve({ tab, want, since = null, drop, start, hello }: Ask): void {
    const relay = this.#relay;
    if (!relay) return;
    if (want !== undefined) relay.want(tab, want, since);
    else if (drop !== undefined) relay.drop(tab, drop);
    else if (start) relay.start();
    else this.#say(hello ? { state: relay.state } : {});
    if (!hello || tab === this.#tab) return;
    const { signal } = this.#candidacy!;
    void navigator.locks
      .request(`${this.#name} ${tab}`, { signal }, () => relay.drop(tab))
      .catch(() => undefined);
  }

  #say(said: Said | object): void {
    this.#air?.postMessage({ term: this.#term, ...said });
    this.#hear(said);
  }

  // What the leader says

  #follow(word: Word): void {
    const { term } = word;
    if (term < this.#term) return; // of one that does not know yet that it leads no more
    this.#unanswered = 0;
    if (this.#relay) {
      this.#rival = term;
      return;
    }
    if (term > this.#term) {
      this.#term = term;
      this.#become({ status: "connecting" });
      if (!("state" in word)) this.#ask({ hello: true });
    }
    this.#hear(word);
  }

  #hear(said: Said | object): void {
    if ("state" in said) this.#become(said.state);
    else if ("item" in said) this.#take(said);
    else if ("channel" in said) this.#answer(said);
  }

  #take({ item }: Extract<Said, { item: unknown }>): void {
    const line = this.#lines.get(item.channel);
    if (!line?.live) return;
    const { seen } = line;
    if (item.type === "courier.gap") {
      // That of another tab, which had seen less. One of ours shows in the next event's id.
      if (item.requested !== seen && this.#kit.parse(seen)) return;
      line.seen = item.resumed_from;
    } else {
      if (ahead(this.#kit, seen, item.id) >= 0) return; // that tab has not had it
      line.seen = item.id;
    }
    this.#events.delivered(item);
  }

  #answer(said: Exclude<Said, { item: unknown } | { state: unknown }>): void {
    const line = this.#lines.get(said.channel);
    const mine = line && !line.live && said.asked === (line.seen ?? null);
    if ("code" in said) {
      if (!line || (said.asked !== undefined && !mine)) return;
      this.#drop(said.channel);
      this.#events.ended(line.ref, said.code, said.reason);
    } else if (mine) {
      line.live = true;
      const { position, recovered } = said;
      if (line.seen === undefined || (recovered && !this.#kit.parse(line.seen))) line.seen = position;
      this.#events.subscribed(line.ref, position, recovered);
    }
  }

  #become(state: State): void {
    if (JSON.stringify(state) === JSON.stringify(this.state)) return;
    this.state = state;
    if (state.status !== "open") this.#lines.clear();
    this.#events.state(state);
  }
}
