import { useCourierEvent } from "@courier/client/react";
import { useLayoutEffect, useRef, type UIEvent } from "react";

import { Card } from "./Card";
import { reduceConversations, type Conversation } from "./conversations";
import type { PanelProps } from "./Panels";
import { useReplay } from "./useReplay";

const NEAR_PX = 24;

export function Chat({ channel, past }: PanelProps) {
  const [conversations, take] = useReplay(reduceConversations, [], past);
  useCourierEvent(channel, "prophet.message_chunk", take);
  useCourierEvent(channel, "prophet.tsdl_ready", take);
  useCourierEvent(channel, "prophet.error", take);

  const log = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (log.current && atEnd.current) log.current.scrollTop = log.current.scrollHeight;
  }, [conversations]);

  /** Who has scrolled up to read is left there. */
  const onScroll = ({ currentTarget: { scrollHeight, scrollTop, clientHeight } }: UIEvent) => {
    atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  };

  return (
    <Card title="Chat" from="prophet" className="chat">
      <div
        className="log"
        ref={log}
        role="log"
        tabIndex={0}
        aria-label="What Prophet says"
        aria-busy={conversations.at(-1)?.isFinal === false}
        onScroll={onScroll}
      >
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
