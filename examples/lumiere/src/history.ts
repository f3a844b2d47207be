import type { DeliveredEvent } from "@courier/client";

import { getPass } from "./session";
import type { User } from "./users";

const MINUTES = 10;

/** What a channel has brought lately, and the position to go on from. */
export interface History {
  /** Courier's address. */
  readonly courier: string;
  readonly events: readonly DeliveredEvent[];
  readonly position: string;
}

/** Courier's no, in its own words: to ask again by oneself is of no use. */
export class Refused extends Error {}

interface Page {
  readonly events: readonly DeliveredEvent[];
  readonly position: string;
  readonly more: boolean;
}

/**
 * The last minutes of the user's channel, oldest first. Rejects with `Refused` when Courier does not take the
 * user's token; with anything else when Courier or the sign-in is away.
 */
export async function loadHistory(user: User, channel: string, signal: AbortSignal): Promise<History> {
  const { token, courier } = await getPass(user);
  const headers = { Authorization: `Bearer ${token}` };
  const events: DeliveredEvent[] = [];
  let since = new Date(Date.now() - MINUTES * 60_000).toISOString();
  for (;;) {
    const query = new URLSearchParams({ since, limit: "1000" });
    const answer = await fetch(`${courier}/history/${channel}?${query}`, { headers, signal });
    if (answer.status === 401 || answer.status === 403) throw new Refused(await reasonOf(answer));
    if (!answer.ok) throw new Error(`Courier answered ${answer.status}`);
    const page = (await answer.json()) as Page;
    events.push(...page.events);
    since = page.position;
    if (!page.more) return { courier, events, position: since };
  }
}

async function reasonOf(refusal: Response): Promise<string> {
  const { detail } = (await refusal.json()) as { detail: { error: string } };
  return detail.error;
}
