import { CLOSE_CODES, type ComeBack } from "./events.js";

const POLICY_VIOLATION = 1008;

/**
 * What to do after a close.
 *
 * A close that is not in Courier's table comes from the WebSocket protocol, a proxy or the network, and one
 * comes back; but not when it speaks of a policy, since the next try would break it again.
 */
export function afterClose(code: number, reason: string): ComeBack {
  const rows = CLOSE_CODES.filter((row) => row.code === code);
  const row = rows.find((each) => each.reason === reason);
  if (row) return row.comeBack;
  if (code === POLICY_VIOLATION) return "no";
  return rows.find(({ comeBack }) => comeBack !== "no")?.comeBack ?? "yes, backing off";
}
