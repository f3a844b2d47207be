import { wrong } from "./wrong.js";

/** What the client needs of a WebSocket: a browser's is one, and so is that of `ws`. */
export interface WebSocketLike {
  // `any`, because a browser and `ws` agree on what happens, but not on the types of their events.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  addEventListener(type: "message" | "close" | "error", listener: (event: any) => void): void;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

/** The class to use: the one that is given, or else the platform's own. TypeError when there is neither. */
export function webSocketClass(given: WebSocketClass | undefined): WebSocketClass {
  const found = given ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (typeof found !== "function")
    throw new TypeError("There is no WebSocket here: give that of the package ws as the option `WebSocket`");
  return found;
}

/** Where to subscribe to a channel; without one, to many. TypeError when no WebSocket can have the URL. */
export function subscriptionUrl(url: string, channel?: string, since?: string): string {
  const target = webSocketUrl(url);
  const below = channel === undefined ? "" : `/${encodeURIComponent(channel)}`;
  target.pathname = `${target.pathname.replace(/\/$/, "")}/ws${below}`;
  target.hash = "";
  if (since !== undefined) target.searchParams.set("since", since);
  return target.href;
}

function webSocketUrl(url: string): URL {
  try {
    const page = (globalThis as { location?: { href: string } }).location?.href;
    const target = typeof url === "string" && new URL(url, page);
    if (target) target.protocol = target.protocol.replace(/^http/, "ws");
    if (target && /^wss?:$/.test(target.protocol)) return target;
  } catch {
    // the same as one of another scheme
  }
  throw wrong("`url`", "one that begins with https://, http://, wss:// or ws://, or relative to a page", url);
}
