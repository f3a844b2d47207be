import type { DeliveredEvent } from "@courier/client";

import { getToken, type Session } from "./session";

const MINUTES = 10;

/** What a channel has brought lately, and the position to go on from. */
export interface History {
  readonly events: readonly DeliveredEvent[];
  readonly position: string;
}

interface Page extends History {
  readonly more: boolean;
}

/** The last minutes of the user's channel, oldest first; rejects when Courier or the sign-in is away. */
export async function loadHistory(session: Session, channel: string, signal: AbortSignal): Promise<History> {
  const headers = { Authorization: `Bearer ${await getToken(session.user)}` };
  const events: DeliveredEvent[] = [];
  let since = new Date(Date.now() - MINUTES * 60_000).toISOString();
  for (;;) {
    const query = new URLSearchParams({ since, limit: "1000" });
    const answer = await fetch(`${session.courier}/history/${channel}?${query}`, { headers, signal });
    if (!answer.ok) throw new Error(`Courier answered ${answer.status}`);
    const page = (await answer.json()) as Page;
    events.push(...page.events);
    since = page.position;
    if (!page.more) return { events, position: since };
  }
}
