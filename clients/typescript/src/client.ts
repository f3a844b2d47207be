import { backoff } from "./backoff.js";
import { afterClose } from "./closing.js";
import { Connection } from "./connection.js";
import type { CourierJoined } from "./events.js";
import { careful, Handlers, type Handler, type OnError } from "./handlers.js";
import { Inbox, type Gap } from "./inbox.js";
import { watchNetwork } from "./network.js";
import { TokenRefresh } from "./refresh.js";
import { checkedOptions, checkToken, type ClientOptions } from "./options.js";
import type { AnyChannel, AnyEvent } from "./register.js";
import type { State } from "./state.js";
import { ANSWER_MS, type GetToken } from "./tokens.js";
import { subscriptionUrl, webSocketClass, type WebSocketClass } from "./websocket.js";

/** Where the node leaves without naming a slot: come back within this time. */
const LEAVE_SPREAD_MS = 5_000;
/** A connection that lasted so long was a good one: the next backoff begins anew. */
const SETTLED_MS = 10_000;

const TRY_AGAIN_LATER = 1013;
const ABNORMAL = 1006;
const NO_TOKEN = { code: 1008, reason: "Authentication token required" };

/**
 * A subscription to one channel: each event once and in order, or a gap where some are missing.
 *
 * `connect` starts it. Whatever breaks the connection, it comes back and goes on where it was, for ever,
 * until `disconnect` or until Courier says not to come back: then its state is `refused`.
 *
 * The constructor throws TypeError, which names the value, where an option cannot be what it is for.
 */
export class CourierClient {
  readonly channel: AnyChannel;
  readonly #WebSocket: WebSocketClass;
  readonly #url: string;
  readonly #getToken: GetToken | undefined;
  readonly #onError: OnError;
  readonly #inbox: Inbox;
  readonly #states: Handlers<State>;
  #state: State = { status: "idle" };
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
  #join: Promise<void> | undefined;

  constructor(options: ClientOptions);
  /** For a token that outlives the subscription, where the platform has a WebSocket. */
  constructor(url: string, channel: AnyChannel, token: string);
  constructor(...given: [ClientOptions] | [url: string, channel: AnyChannel, token: string]) {
    const options = checkedOptions(given);
    this.channel = options.channel;
    this.#WebSocket = webSocketClass(options.WebSocket);
    this.#url = options.url;
    this.#token = options.token ?? undefined;
    this.#getToken = options.getToken ?? undefined;
    this.#onError = careful(options.onError);
    this.#inbox = new Inbox(options.since ?? undefined, this.#onError, () => {
      if (this.#state.status === "waiting" && this.#state.retryAt === undefined) this.#open();
    });
    this.#states = new Handlers(this.#onError);
  }

  get state(): State {
    return this.#state;
  }

  /**
   * Behind the last event or gap whose handlers have run; before the first of them, where the subscription
   * begins. Keep it, and give it as `since` to go on there.
   */
  get position(): string | undefined {
    return this.#inbox.position;
  }

  /**
   * Calls `handler` with each event; what you get removes it. The next event waits for a promise that it
   * gives.
   */
  onMessage(handler: Handler<AnyEvent>): () => void {
    return this.#inbox.messages.add(handler);
  }

  /** Calls `handler` where events are missing, before the event that follows; what you get removes it. */
  onGap(handler: Handler<Gap>): () => void {
    return this.#inbox.gaps.add(handler);
  }

  /** Calls `handler` with each new state; what you get removes it. */
  onState(handler: Handler<State>): () => void {
    // The state of now: a handler before this one may have called `disconnect`.
    return this.#states.add(() => handler(this.#state));
  }

  /**
   * Starts, or goes on behind `position`. Where the client waits for its next try, it tries at once.
   *
   * The promise is fulfilled when Courier has answered: events come. It is rejected when Courier refuses, or
   * `disconnect` is called, before that; the error's `cause` is the state. It may be ignored.
   */
  connect(): Promise<void> {
    const { status } = this.#state;
    if (status === "open") return Promise.resolve();
    const joined = (this.#join ??= this.#nextJoin());
    if (status === "connecting") return joined;
    if (status !== "waiting") {
      this.#failures = 0;
      this.#refused = undefined;
      if (this.#getToken) this.#token = undefined;
      this.#unwatch = watchNetwork(() => this.#look());
    }
    this.#open();
    return joined;
  }

  /** Ends the subscription. Events that are not handled yet come again with the next `connect`. */
  disconnect(): void {
    if (this.#state.status === "closed") return;
    this.#inbox.clear();
    this.#stop({ status: "closed" });
  }

  #nextJoin(): Promise<void> {
    const join = new Promise<void>((resolve, reject) => {
      const stop = this.onState((state) => {
        if (state.status === "open") resolve();
        else if (state.status === "refused")
          reject(
            new Error(`Courier refuses ${this.channel}: ${state.reason} (${state.code})`, { cause: state }),
          );
        else if (state.status === "closed")
          reject(new Error("`disconnect` was called before Courier answered", { cause: state }));
        else return;
        stop();
        this.#join = undefined;
      });
    });
    join.catch(() => undefined); // it may be ignored
    return join;
  }

  // One try after another

  #open(): void {
    this.#leave();
    if (this.#inbox.full) {
      this.#become({ status: "waiting", reason: "Handlers are behind" }); // until the inbox is empty
      return;
    }
    const turn = this.#turn;
    this.#notBefore = 0;
    this.#become({ status: "connecting" });
    if (turn !== this.#turn) return; // a handler of the state has called `disconnect`
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
      this.#onError(error);
      if (turn === this.#turn) this.#wait(this.#nextBackoff(), "No token: getToken failed");
      return;
    }
    if (turn !== this.#turn) return;
    clearTimeout(this.#timer);
    if (!token || token === this.#refused) this.#stop({ status: "refused", ...NO_TOKEN });
    else this.#begin((this.#token = token));
  }

  #begin(token: string): void {
    try {
      const url = subscriptionUrl(this.#url, this.channel, this.#inbox.seen);
      this.#connection = new Connection(this.#WebSocket, url, token, {
        joined: (message) => this.#joined(message),
        delivered: (item) => {
          if (!this.#inbox.take(item)) this.#wait(this.#nextBackoff(), "An event without a position");
          else if (this.#inbox.full) this.#open();
        },
        tokenExpiring: () => this.#renew(),
        tokenRefreshed: () => this.#endRefresh(),
        closed: (code, reason, slotMs) => this.#closed(code, reason, slotMs),
      });
    } catch {
      // What was thrown may show the token.
      const reason =
        "The browser opens no WebSocket to this URL: a page of https:// needs https:// or wss://";
      this.#stop({ status: "refused", code: ABNORMAL, reason });
    }
  }

  #joined({ position, recovered }: CourierJoined): void {
    this.#inbox.joined(position, recovered);
    this.#refused = undefined;
    this.#openedAt = performance.now();
    this.#become({ status: "open" });
  }

  #closed(code: number, reason: string, slotMs: number | undefined): void {
    const openMs = performance.now() - (this.#openedAt ?? NaN); // neither short nor long where it has not joined
    if (openMs >= SETTLED_MS) this.#failures = 0;
    const comeBack = slotMs === undefined ? afterClose(code, reason) : "yes, at the slot, with since";
    const why = reason || (code === ABNORMAL ? "No connection" : `Closed with ${code}`);
    switch (comeBack) {
      case "no":
        this.#stop({ status: "refused", code, reason });
        break;
      case "with a new token":
        if (!this.#getToken || this.#refused !== undefined) {
          this.#stop({ status: "refused", code, reason });
        } else {
          this.#refused = this.#token;
          this.#token = undefined;
          if (openMs < SETTLED_MS) this.#wait(this.#nextBackoff(), why);
          else this.#open();
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

  /** `asked`: Courier has asked for it, so that nothing but `connect` shortens it. */
  #wait(ms: number, reason: string, asked = false): void {
    this.#leave();
    const wholeMs = Math.ceil(ms); // a timer leaves out the rest, and so would be early
    if (asked) this.#notBefore = performance.now() + wholeMs;
    this.#timer = setTimeout(() => this.#open(), wholeMs);
    this.#become({ status: "waiting", retryAt: Date.now() + wholeMs, reason });
  }

  /** The network, or the page, may be another than before. */
  #look(): void {
    const { status } = this.#state;
    if (status === "open") this.#connection?.check();
    else if (status === "waiting" && performance.now() >= this.#notBefore) this.#open();
  }

  // The end of a try

  #leave(): void {
    this.#turn++;
    clearTimeout(this.#timer);
    this.#endRefresh();
    this.#connection?.leave();
    this.#connection = this.#openedAt = undefined;
  }

  #stop(state: State): void {
    this.#leave();
    this.#unwatch?.();
    this.#become(state);
  }

  #become(state: State): void {
    this.#state = state;
    void this.#states.emit(state);
  }

  // A new token while it is open

  #renew(): void {
    const [connection, stale] = [this.#connection, this.#token];
    if (!this.#getToken || this.#refresh || !connection || stale === undefined) return;
    const send = (token: string) => {
      checkToken(token);
      this.#token = token;
      connection.refresh(token);
    };
    this.#refresh = new TokenRefresh(this.#getToken, stale, send, this.#onError);
  }

  #endRefresh(): void {
    this.#refresh?.stop();
    this.#refresh = undefined;
  }
}
