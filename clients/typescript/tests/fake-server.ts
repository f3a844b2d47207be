import type {
  CourierGap,
  CourierJoined,
  CourierSubscribe,
  CourierSubscribed,
  CourierUnsubscribe,
  Delivery,
  SystemAnnouncement,
} from "../src/events.js";
import type { WebSocketLike } from "../src/websocket.js";

export const CHANNEL = "user.alice";
export const EPOCH = "k3v9x0qa";

export const at = (offset: number, epoch = EPOCH): string => `${epoch}-${offset}`;

/** One connection, from the server's side. */
export class FakeSocket implements WebSocketLike {
  readonly url: URL;
  readonly protocols: string[];
  /** What the client has said. */
  readonly sent: string[] = [];
  /** Whether the client has left. */
  left = false;
  /** Whether the server hears nothing and says nothing, not even that it is gone. */
  dead = false;
  #listeners = new Map<string, ((event: unknown) => void)[]>();
  #open = false;
  #ended = false;
  readonly #answered = new Set<number>();

  constructor(url: string, protocols: string[]) {
    this.url = new URL(url);
    this.protocols = protocols;
  }

  get token(): string {
    return this.protocols[1]!.replace(/^courier\.bearer\./, "");
  }

  get since(): string | null {
    return this.many ? (this.subscribes.at(-1)?.since ?? null) : this.url.searchParams.get("since");
  }

  /** Whether it is a connection for many channels. */
  get many(): boolean {
    return this.url.pathname === "/ws";
  }

  /** What the client has said of that type. */
  said<T>(type: string): T[] {
    const messages = this.sent.filter((text) => text.startsWith("{")).map((text) => JSON.parse(text) as T);
    return messages.filter((message) => (message as { type: string }).type === type);
  }

  get subscribes(): CourierSubscribe[] {
    return this.said<CourierSubscribe>("courier.subscribe");
  }

  get unsubscribes(): CourierUnsubscribe[] {
    return this.said<CourierUnsubscribe>("courier.unsubscribe");
  }

  get pings(): number {
    return this.sent.filter((text) => text === "ping").length;
  }

  // What the client does

  addEventListener(type: string, listener: (event: unknown) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  send(text: string): void {
    if (!this.#open) throw new DOMException("Still in CONNECTING state", "InvalidStateError");
    this.sent.push(text);
  }

  close(code = 1005): void {
    if (this.left || this.#ended) return;
    this.left = true;
    if (!this.dead) setTimeout(() => this.#emit("close", { code, reason: "" }));
  }

  // What the server does

  /** Lets the client in; with many channels, answers what it subscribes. */
  join(message: Partial<CourierJoined> = {}): void {
    if (this.many) {
      this.say({
        type: "courier.connected",
        connection_id: "9f2c4e0d1b7a6358",
        user_id: "alice",
        heartbeat_seconds: message.heartbeat_seconds ?? 30,
      });
      this.answer(message);
      return;
    }
    this.say({
      type: "courier.joined",
      channel: CHANNEL,
      position: this.since ?? at(0),
      recovered: this.since !== null,
      replayed: 0,
      connection_id: "9f2c4e0d1b7a6358",
      heartbeat_seconds: 30,
      ...message,
    });
  }

  /** Answers the subscriptions that wait for it. */
  answer(message: Partial<Pick<CourierSubscribed, "position" | "recovered">> = {}): void {
    for (const { ref, channel, since } of this.subscribes.splice(0)) {
      if (this.#answered.has(ref)) continue;
      this.#answered.add(ref);
      this.say({
        type: "courier.subscribed",
        ref,
        channel,
        position: since ?? at(0),
        recovered: since !== undefined,
        replayed: 0,
        ...("position" in message ? { position: message.position } : {}),
        ...("recovered" in message ? { recovered: message.recovered } : {}),
      });
    }
  }

  /** Ends the last subscription of a channel. */
  endOne(channel: string, code: number, reason: string): void {
    const { ref } = this.subscribes.filter((each) => each.channel === channel).at(-1)!;
    this.say({ type: "courier.ended", ref, channel, code, reason });
  }

  say(message: object | string): void {
    this.message(typeof message === "string" ? message : JSON.stringify(message));
  }

  message(data: unknown): void {
    this.#open = true;
    this.#emit("message", { data });
  }

  event(offset: number, epoch?: string, channel = CHANNEL): void {
    this.say({ ...announcement(offset, epoch), channel });
  }

  gap(requested: string, resumedFrom: string, reason: CourierGap["reason"] = "expired"): void {
    this.say({ type: "courier.gap", channel: CHANNEL, requested, resumed_from: resumedFrom, reason });
  }

  /** The connection ends. */
  end(code = 1006, reason = ""): void {
    this.#ended = true;
    this.#emit("close", { code, reason });
  }

  #emit(type: string, event: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}

/** A scripted server: a test says what it does on each of its sockets. */
export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  readonly WebSocket: new (url: string, protocols: string[]) => FakeSocket;

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    };
  }

  /** The last connection. */
  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }
}

export function announcement(offset: number, epoch?: string): SystemAnnouncement & Delivery {
  return {
    id: at(offset, epoch),
    channel: CHANNEL,
    type: "system.announcement",
    source: "tests",
    timestamp: "2026-01-31T12:00:00Z",
    title: `${offset}`,
    message: "m",
    severity: "info",
  };
}
