import type { DeliveredEvent } from "@courier/client";

const KEPT = 8;

export interface Conversation {
  readonly id: string;
  readonly text: string;
  readonly isFinal: boolean;
  readonly tsdl?: string;
  readonly error?: string | undefined;
}

/** Oldest first; the last few. */
export type Conversations = readonly Conversation[];

export function reduceConversations(all: Conversations, event: DeliveredEvent): Conversations {
  switch (event.type) {
    case "prophet.message_chunk":
      return change(all, event.conversation_id, (one) => ({
        ...one,
        text: one.text + event.chunk,
        isFinal: event.is_final,
        error: undefined, // it has found an answer after all
      }));
    case "prophet.tsdl_ready":
      return change(all, event.conversation_id, (one) => ({ ...one, isFinal: true, tsdl: event.tsdl }));
    case "prophet.error":
      return change(all, event.conversation_id, (one) => ({ ...one, isFinal: true, error: event.message }));
    default:
      return all;
  }
}

function change(all: Conversations, id: string, how: (one: Conversation) => Conversation): Conversations {
  if (all.some((one) => one.id === id)) return all.map((one) => (one.id === id ? how(one) : one));
  return [...all, how({ id, text: "", isFinal: false })].slice(-KEPT);
}
