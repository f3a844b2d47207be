import type { ComeBack } from "./events.js";

/**
 * What to do after a close. A test holds this against the table `CLOSE_CODES`, which no page has to load for it.
 *
 * A close that is not in Courier's table comes from the WebSocket protocol, a proxy or the network, and one
 * comes back; but not when it speaks of a policy, since the next try would break it again.
 */
export function afterClose(code: number, reason: string): ComeBack {
  if (code === 1008) return /\btoken\b/i.test(reason) ? "with a new token" : "no";
  if (code === 1001) return "yes, at the slot, with since";
  return /^401[012]$/.test(`${code}`) || reason === "Unsubscribed" ? "no" : "yes, backing off";
}
