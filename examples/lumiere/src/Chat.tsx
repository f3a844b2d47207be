import { useCourierEvent } from "@courier/client/react";
import { useLayoutEffect, useRef } from "react";

import { Card } from "./Card";
import { reduceConversations, type Conversation } from "./conversations";
import type { PanelProps } from "./Panels";
import { useReplay } from "./useReplay";

export function Chat({ channel, past }: PanelProps) {
  const [conversations, take] = useReplay(reduceConversations, [], past);
  useCourierEvent(channel, "prophet.message_chunk", take);
  useCourierEvent(channel, "prophet.tsdl_ready", take);
  useCourierEvent(channel, "prophet.error", take);

  const end = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const log = end.current;
    if (log) log.scrollTop = log.scrollHeight;
  }, [conversations]);

  return (
    <Card title="Chat" from="prophet" className="chat">
      <div className="log" ref={end} role="log" tabIndex={0} aria-label="What Prophet says">
        {conversations.length === 0 && <p className="none">Prophet has said nothing yet.</p>}
        {conversations.map((one) => (
          <Message key={one.id} conversation={one} />
        ))}
      </div>
    </Card>
  );
}

function Message({ conversation: { text, isFinal, tsdl, error } }: { conversation: Conversation }) {
  return (
    <article className="message">
      {text && <p className={isFinal ? "" : "writing"}>{text}</p>}
      {tsdl && <pre tabIndex={0}>{tsdl}</pre>}
      {error && <p className="wrong">{error}</p>}
    </article>
  );
}
