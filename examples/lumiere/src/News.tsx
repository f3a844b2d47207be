import type { AnyEventOf } from "@courier/client";
import { useCourierEvent } from "@courier/client/react";
import { useState } from "react";

/** What a channel announced last, until it is read. */
export function News({ channel }: { channel: string | null }) {
  const [news, setNews] = useState<AnyEventOf<"system.announcement">>();
  useCourierEvent(channel, "system.announcement", setNews);
  if (!channel || news?.channel !== channel) return null;
  return (
    <div className="notice news" role="status">
      <p>
        <strong>{news.title}</strong> {news.message}
      </p>
      <button className="button bare small" onClick={() => setNews(undefined)}>
        Dismiss
      </button>
    </div>
  );
}
