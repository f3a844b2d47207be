import { CLOSE_CODES, type ComeBack } from "./events.js";

const POLICY_VIOLATION = 1008;
const MESSAGE_TOO_BIG = 1009;

/**
 * What to do after a close.
 *
 * A close that is not in Courier's table comes from the WebSocket protocol, a proxy or the network, and one
 * comes back. Not when it speaks of a policy, which the next try would break again; nor of a message that is too
 * large for what is between, which would be the next one again.
 */
export function afterClose(code: number, reason: string): ComeBack {
  const rows = CLOSE_CODES.filter((row) => row.code === code);
  const row = rows.find((each) => each.reason === reason);
  if (row) return row.comeBack;
  if (code === POLICY_VIOLATION || code === MESSAGE_TOO_BIG) return "no";
  return rows[0]?.comeBack ?? "yes, backing off";
}
