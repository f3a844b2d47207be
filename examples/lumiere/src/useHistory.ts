import { useEffect, useState } from "react";

import { loadHistory, type History } from "./history";
import type { Session } from "./session";

const RETRY_MS = 2_000;

export type Loading =
  { readonly status: "loading" | "waiting" } | { readonly status: "ready"; readonly history: History };

/** What the channel has brought before the page was there: asked for until it is had, and again for another `turn`. */
export function useHistory(session: Session, channel: string, turn: number): Loading {
  const [loading, setLoading] = useState<Loading>({ status: "loading" });
  useEffect(() => {
    const leaving = new AbortController();
    let retry: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      try {
        const history = await loadHistory(session, channel, leaving.signal);
        if (!leaving.signal.aborted) setLoading({ status: "ready", history });
      } catch {
        if (leaving.signal.aborted) return;
        setLoading({ status: "waiting" });
        retry = setTimeout(() => void load(), RETRY_MS);
      }
    };
    setLoading({ status: "loading" });
    void load();
    return () => {
      leaving.abort();
      clearTimeout(retry);
    };
  }, [session, channel, turn]);
  return loading;
}
