import type { OnError } from "./handlers.js";
import type { AnyChannel } from "./register.js";
import type { GetToken } from "./tokens.js";
import { subscriptionUrl, type WebSocketClass } from "./websocket.js";
import { wrong } from "./wrong.js";

export interface ConnectionOptions {
  /** The node's or the balancer's, `https://…` or `wss://…`; in a page it may be relative. */
  url: string;
  /** The token, where it outlives the subscription. Otherwise give `getToken`. */
  token?: string | undefined;
  /** Asked for a token at the start, when Courier wants another one, and when the last one was refused. */
  getToken?: GetToken | undefined;
  /** The class to use where the platform has none, as in Node 20: that of the package `ws`. */
  WebSocket?: WebSocketClass | undefined;
  /** Takes the errors of handlers and of `getToken`; else the window's `error` event, or the console. */
  onError?: OnError | undefined;
}

export interface SharedOptions extends ConnectionOptions {
  /**
   * One socket for all tabs of the origin that give the same key: the user's id, since tabs with other rights
   * must give another. Where the browser cannot share, each tab has its own.
   */
  shareAcrossTabs?: string | null | undefined;
}

export interface ClientOptions extends ConnectionOptions {
  channel: AnyChannel;
  /**
   * Start after this position, or after this time (ISO 8601 with a `T` and a zone); else with the next event.
   */
  since?: string | null | undefined;
}

/** The characters of channels' names. */
const CHANNEL = /^[\w.@|:+~-]+$/;
/** The characters of a JWT (RFC 7515, 7.1). */
const TOKEN = /^[\w.-]+$/;

/** The options, or `url`, `channel` and `token`, as they were given. TypeError for one that cannot be used. */
export function checkedOptions([first, ...rest]: readonly unknown[]): ClientOptions {
  const given = typeof first === "object" && first ? first : { url: first, channel: rest[0], token: rest[1] };
  const options = given as ClientOptions;
  checkUrl(options.url);
  checkChannel(options.channel);
  checkTokens(options);
  checkSince(options.since);
  return options;
}

/** TypeError for what no WebSocket can have as its URL. */
export function checkUrl(url: unknown): void {
  subscriptionUrl(url as string, "", undefined);
}

/** TypeError for what is no channel's name. */
export function checkChannel(channel: unknown): void {
  if (typeof channel !== "string" || !CHANNEL.test(channel))
    throw wrong("`channel`", "a name of A-Z a-z 0-9 . _ - @ | : + ~, such as user.alice", channel);
}

/** TypeError where there is no way to a token, or two. */
export function checkTokens({ token, getToken }: ConnectionOptions): void {
  if (getToken == null) checkToken(token);
  else if (token != null) throw new TypeError("Give either `token` or `getToken`");
}

/** TypeError for what is neither a position nor a time. */
export function checkSince(since: unknown): void {
  if (typeof (since ?? "") !== "string") throw wrong("`since`", "a position or a time, as a string", since);
}

/** TypeError for what tabs cannot share by. */
export function checkKey(key: unknown): void {
  if (typeof (key ?? "") !== "string") throw wrong("`shareAcrossTabs`", "a string", key);
}

/** TypeError, which does not show the token, for what is no token. */
export function checkToken(token: unknown): void {
  if (typeof token !== "string" || !TOKEN.test(token))
    throw wrong("A token", 'a JWT of A-Z a-z 0-9 . _ -, without "Bearer"', token && typeof token);
}
