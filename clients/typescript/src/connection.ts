import type {
  CourierConnected,
  CourierDrain,
  CourierEnded,
  CourierGap,
  CourierJoined,
  CourierRefreshed,
  CourierSubscribed,
  CourierTokenExpiring,
} from "./events.js";
import type { AnyEvent } from "./register.js";
import type { WebSocketClass, WebSocketLike } from "./websocket.js";

const SUBPROTOCOL = "courier.v1";
const BEARER = "courier.bearer.";

const NORMAL = 1000;
const ABNORMAL = 1006;

const JOIN_MS = 10_000;
const CHECK_MS = 5_000;
const MOST_SILENCE_MS = 30_000;
/**
 * A timer this late was held up, and so perhaps were messages: the machine slept, or the page was in the
 * background.
 */
const LATE_MS = 2_000;

/** What Courier says on a connection, but for what is about the connection itself. */
export type Told =
  AnyEvent | CourierGap | CourierJoined | CourierConnected | CourierSubscribed | CourierEnded;

type Message = Told | CourierDrain | CourierTokenExpiring | CourierRefreshed;

/** Whether it is something for handlers: an event, or a gap. */
export function isItem(message: Told): message is AnyEvent | CourierGap {
  return message.type === "courier.gap" || !message.type.startsWith("courier.");
}

/** What comes of a connection. After `closed` nothing comes. */
export interface ConnectionEvents {
  joined(message: CourierJoined | CourierConnected): void;
  told(message: Told): void;
  tokenExpiring(): void;
  tokenRefreshed(): void;
  /** It is of no use any more: leave it. `slotMs` is how long Courier asked to stay away, if it did. */
  closed(code: number, reason: string, slotMs: number | undefined): void;
}

/**
 * One WebSocket that speaks `courier.v1`.
 *
 * It says `ping` whenever half a heartbeat has passed, and takes the connection for dead when nothing at all
 * has come by the next time; a dead one is left at once, because its own close would take a minute.
 */
export class Connection {
  readonly #socket: WebSocketLike;
  readonly #events: ConnectionEvents;
  #timer: ReturnType<typeof setTimeout>;
  #halfBeatMs = MOST_SILENCE_MS;
  #silent = true;
  /** When the patience with the last ping ends, by `Date.now()`. */
  #due = 0;
  #slotMs: number | undefined;
  #over = false;

  /** Throws what the class throws for a URL or a token that cannot be one. */
  constructor(WebSocket: WebSocketClass, url: string, token: string, events: ConnectionEvents) {
    this.#events = events;
    this.#socket = new WebSocket(url, [SUBPROTOCOL, BEARER + token]);
    this.#socket.addEventListener("message", ({ data }: { data: unknown }) => {
      if (!this.#over) this.#hear(data);
    });
    this.#socket.addEventListener("close", ({ code, reason }: { code: number; reason: string }) =>
      this.#end(code, reason),
    );
    // `close` follows; and ws throws where nobody listens.
    this.#socket.addEventListener("error", () => undefined);
    this.#timer = setTimeout(() => this.#end(ABNORMAL, "No answer to the join"), JOIN_MS);
  }

  /** Once it has joined: says something. */
  say(message: object): void {
    this.#socket.send(JSON.stringify(message));
  }

  /**
   * Once it has joined: finds out whether the other side is still there. `closed` within seconds if it is not,
   * however often it is asked meanwhile.
   */
  check(): void {
    if (!this.#silent || this.#due - Date.now() > CHECK_MS) this.#probe(CHECK_MS);
  }

  /** Leaves. Nothing comes after this, not even `closed`. */
  leave(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#socket.close(NORMAL);
  }

  #hear(data: unknown): void {
    this.#silent = false;
    if (data === "pong") return;
    if (data === "ping") {
      this.#socket.send("pong");
      return;
    }
    const message = parse(data);
    if (!message) {
      this.#end(ABNORMAL, "A message that cannot be read"); // rather come back than lose what it was
      return;
    }
    switch (message.type) {
      case "courier.joined":
      case "courier.connected":
        this.#halfBeatMs = Math.min(message.heartbeat_seconds * 500, MOST_SILENCE_MS);
        this.#watch(this.#halfBeatMs);
        this.#events.joined(message);
        break;
      case "courier.drain":
        this.#slotMs = message.reconnect_in_ms;
        break;
      case "courier.token_expiring":
        this.#events.tokenExpiring();
        break;
      case "courier.refreshed":
        this.#events.tokenRefreshed();
        break;
      case "courier.gap":
      case "courier.subscribed":
      case "courier.ended":
        this.#events.told(message);
        break;
      default:
        // A later Courier may say more of its own than this client knows.
        if (!(message.type as string).startsWith("courier.")) this.#events.told(message);
    }
  }

  #probe(patienceMs: number): void {
    this.#silent = true;
    this.#socket.send("ping");
    this.#watch(patienceMs);
  }

  #watch(patienceMs: number): void {
    clearTimeout(this.#timer);
    this.#due = Date.now() + patienceMs;
    this.#timer = setTimeout(() => {
      if (!this.#silent) this.#probe(this.#halfBeatMs);
      else if (Date.now() - this.#due > LATE_MS) this.#probe(CHECK_MS);
      else this.#end(ABNORMAL, "No answer to a ping");
    }, patienceMs);
  }

  #end(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.closed(code, reason, this.#slotMs);
  }
}

function parse(data: unknown): Message | undefined {
  try {
    const message = JSON.parse(data as string) as Message | null;
    return typeof message?.type === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
