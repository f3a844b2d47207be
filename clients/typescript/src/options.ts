import type { OnError } from "./handlers.js";
import type { GetToken } from "./tokens.js";
import type { WebSocketClass } from "./websocket.js";

export interface ClientOptions {
  /** The node's or the balancer's, `https://…` or `wss://…`; in a page it may be relative. */
  url: string;
  channel: string;
  /** The token, where it outlives the subscription. Otherwise give `getToken`. */
  token?: string | undefined;
  /** Asked for a token at the start, when Courier wants another one, and when the last one was refused. */
  getToken?: GetToken | undefined;
  /**
   * Start after this position, or after this time (ISO 8601 with a `T` and a zone); else with the next event.
   */
  since?: string | undefined;
  /** The class to use where the platform has none, as in Node 20: that of the package `ws`. */
  WebSocket?: WebSocketClass | undefined;
  /** Takes the errors of handlers and of `getToken`; else the window's `error` event, or the console. */
  onError?: OnError | undefined;
}
