export interface Position {
  epoch: string;
  offset: number;
}

/** The epoch of a position on a channel that had no event yet: the first one has an epoch of its own. */
const UNBORN = "00000000";
const POSITION = /^([a-z0-9]{8})-(\d{1,18})$/;

/** Where `id` stands behind the position `seen`. */
export type Step = "next" | "repeat" | "hole";

/** How an event's id follows the last position. Undefined when the id is no position. */
export function step(seen: string | undefined, id: unknown): Step | undefined {
  const here = parse(id);
  if (!here) return undefined;
  const before = parse(seen);
  if (before?.epoch === UNBORN) return here.offset === 1 ? "next" : "hole";
  if (before?.epoch !== here.epoch || here.offset > before.offset + 1) return "hole";
  return here.offset === before.offset + 1 ? "next" : "repeat";
}

/** The position just before that of an event. */
export function before(id: string): string {
  const here = parse(id);
  return here ? `${here.epoch}-${here.offset - 1}` : id;
}

/** Whether a `since` is a position and not a time. */
export function isPosition(since: string): boolean {
  return parse(since) !== undefined;
}

/** What a position spells; undefined for anything else. */
export function parse(text: unknown): Position | undefined {
  const found = typeof text === "string" ? POSITION.exec(text) : null;
  return found ? { epoch: found[1]!, offset: Number(found[2]) } : undefined;
}
