import { backoff } from "./backoff.js";
import { afterClose } from "./closing.js";
import { Connection, type Told } from "./connection.js";
import { careful, Handlers, type OnError } from "./handlers.js";
import { watchNetwork } from "./network.js";
import { checkToken, type ConnectionOptions } from "./options.js";
import { TokenRefresh } from "./refresh.js";
import type { State } from "./state.js";
import { ANSWER_MS, type GetToken } from "./tokens.js";
import { webSocketClass, type WebSocketClass } from "./websocket.js";

/** Where the node leaves without naming a slot: come back within this time. */
const LEAVE_SPREAD_MS = 5_000;
/** A connection that lasted so long was a good one: the next backoff begins anew. */
const SETTLED_MS = 10_000;

const TRY_AGAIN_LATER = 1013;
const ABNORMAL = 1006;
const NO_TOKEN = { code: 1008, reason: "Authentication token required" };

/** What speaks on the connections of a `Lifecycle`, one after the other. */
export interface Speaker {
  /** Where the next one goes. */
  url(): string;
  /** Why there should be none for now, if so: `open` is called when there may be one again. */
  busy?(): string | undefined;
  /** Courier has said something. What it gives says why the connection is of no use. */
  hear(message: Told): string | undefined;
}

/**
 * Keeps a connection: tokens, tries, waits between them. Whatever breaks it, another one is made, for ever,
 * until `stop`, or until Courier says not to come back: then the state is `refused`.
 */
export class Lifecycle {
  readonly onError: OnError;
  readonly states: Handlers<State>;
  state: State = { status: "idle" };
  readonly #speaker: Speaker;
  readonly #WebSocket: WebSocketClass;
  readonly #getToken: GetToken | undefined;
  #token: string | undefined;
  /** The token that was refused, until another one has been good for a join. */
  #refused: string | undefined;
  #connection: Connection | undefined;
  #refresh: TokenRefresh | undefined;
  /** By `performance.now()`, as `#notBefore`: what a clock shows may be set. */
  #openedAt: number | undefined;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** No network that comes back, and no page that is seen again, makes it come back before. */
  #notBefore = 0;
  /** Counts the tries: what was begun in an earlier one is of no use. */
  #turn = 0;
  #unwatch: (() => void) | undefined;

  constructor(options: ConnectionOptions, speaker: Speaker) {
    this.#speaker = speaker;
    this.#WebSocket = webSocketClass(options.WebSocket);
    this.#token = options.token ?? undefined;
    this.#getToken = options.getToken ?? undefined;
    this.onError = careful(options.onError);
    this.states = new Handlers(this.onError);
  }

  /** Starts, or goes on. Where it waits for its next try, it tries at once. */
  start(): void {
    const { status } = this.state;
    if (status === "open" || status === "connecting") return;
    if (status !== "waiting") {
      this.#failures = 0;
      this.#refused = undefined;
      if (this.#getToken) this.#token = undefined;
      this.#unwatch = watchNetwork(() => this.#look());
    }
    this.open();
  }

  /** Says something on the connection, which is open. */
  say(message: object): void {
    this.#connection?.say(message);
  }

  // One try after another

  /** Makes a connection in the place of the one that there is. */
  open(): void {
    this.#leave();
    const busy = this.#speaker.busy?.();
    if (busy !== undefined) {
      this.#become({ status: "waiting", reason: busy });
      return;
    }
    const turn = this.#turn;
    this.#notBefore = 0;
    this.#become({ status: "connecting" });
    if (turn !== this.#turn) return; // a handler of the state has stopped it
    if (this.#token === undefined) void this.#askForToken(turn);
    else this.#begin(this.#token);
  }

  async #askForToken(turn: number): Promise<void> {
    let token: string | null | undefined;
    this.#timer = setTimeout(
      () => this.#wait(this.#nextBackoff(), "No token: getToken does not answer"),
      ANSWER_MS,
    );
    try {
      token = await this.#getToken?.(this.#refused);
      if (token) checkToken(token);
    } catch (error) {
      this.onError(error);
      if (turn === this.#turn) this.#wait(this.#nextBackoff(), "No token: getToken failed");
      return;
    }
    if (turn !== this.#turn) return;
    clearTimeout(this.#timer);
    if (!token || token === this.#refused) this.stop({ status: "refused", ...NO_TOKEN });
    else this.#begin((this.#token = token));
  }

  #begin(token: string): void {
    try {
      this.#connection = new Connection(this.#WebSocket, this.#speaker.url(), token, {
        joined: (message) => {
          this.#refused = undefined;
          this.#openedAt = performance.now();
          this.#hear(message);
          this.#become({ status: "open" });
        },
        told: (message) => this.#hear(message),
        tokenExpiring: () => this.#renew(),
        tokenRefreshed: () => this.#endRefresh(),
        closed: (code, reason, slotMs) => this.#closed(code, reason, slotMs),
      });
    } catch {
      // What was thrown may show the token.
      const reason =
        "The browser opens no WebSocket to this URL: a page of https:// needs https:// or wss://";
      this.stop({ status: "refused", code: ABNORMAL, reason });
    }
  }

  #hear(message: Told): void {
    const wrong = this.#speaker.hear(message);
    if (wrong !== undefined) this.#wait(this.#nextBackoff(), wrong);
  }

  #closed(code: number, reason: string, slotMs: number | undefined): void {
    const openMs = performance.now() - (this.#openedAt ?? NaN); // neither short nor long where it has not joined
    if (openMs >= SETTLED_MS) this.#failures = 0;
    const comeBack = slotMs === undefined ? afterClose(code, reason) : "yes, at the slot, with since";
    const why = reason || (code === ABNORMAL ? "No connection" : `Closed with ${code}`);
    switch (comeBack) {
      case "no":
        this.stop({ status: "refused", code, reason });
        break;
      case "with a new token":
        if (!this.#getToken || this.#refused !== undefined) {
          this.stop({ status: "refused", code, reason });
        } else {
          this.#refused = this.#token;
          this.#token = undefined;
          if (openMs < SETTLED_MS) this.#wait(this.#nextBackoff(), why);
          else this.open();
        }
        break;
      case "yes, at the slot, with since":
        this.#wait(Math.max(slotMs ?? Math.random() * LEAVE_SPREAD_MS, this.#nextBackoff()), why, true);
        break;
      case "yes":
      case "yes, with since":
      case "yes, backing off":
        this.#wait(this.#nextBackoff(), why, code === TRY_AGAIN_LATER);
        break;
      default:
        comeBack satisfies never;
    }
  }

  // Between two tries

  #nextBackoff(): number {
    return backoff(this.#failures++);
  }

  /** `asked`: Courier has asked for it, so that nothing but `start` shortens it. */
  #wait(ms: number, reason: string, asked = false): void {
    this.#leave();
    const wholeMs = Math.ceil(ms); // a timer leaves out the rest, and so would be early
    if (asked) this.#notBefore = performance.now() + wholeMs;
    this.#timer = setTimeout(() => this.open(), wholeMs);
    this.#become({ status: "waiting", retryAt: Date.now() + wholeMs, reason });
  }

  /** The network, or the page, may be another than before. */
  #look(): void {
    const { status } = this.state;
    if (status === "open") this.#connection?.check();
    else if (status === "waiting" && performance.now() >= this.#notBefore) this.open();
  }

  // The end of a try

  #leave(): void {
    this.#turn++;
    clearTimeout(this.#timer);
    this.#endRefresh();
    this.#connection?.leave();
    this.#connection = this.#openedAt = undefined;
  }

  /** Ends it, in this state. */
  stop(state: State): void {
    this.#leave();
    this.#unwatch?.();
    this.#become(state);
  }

  #become(state: State): void {
    this.state = state;
    void this.states.emit(state);
  }

  // A new token while it is open

  #renew(): void {
    const [connection, stale] = [this.#connection, this.#token];
    if (!this.#getToken || this.#refresh || !connection || stale === undefined) return;
    const send = (token: string) => {
      checkToken(token);
      this.#token = token;
      connection.say({ type: "courier.refresh", token });
    };
    this.#refresh = new TokenRefresh(this.#getToken, stale, send, this.onError);
  }

  #endRefresh(): void {
    this.#refresh?.stop();
    this.#refresh = undefined;
  }
}
