import { useEffect, useState } from "react";

import { loadHistory, Refused, type History } from "./history";
import type { User } from "./users";

const RETRY_MS = 2_000;

export type Loading =
  | { readonly status: "loading" | "waiting" }
  | { readonly status: "refused"; readonly reason: string }
  | { readonly status: "ready"; readonly history: History };

/**
 * What the channel has brought before the page was there: asked for until it is had or refused, and again for
 * another `turn`.
 */
export function useHistory(user: User, channel: string, turn: number): Loading {
  const [loading, setLoading] = useState<Loading>({ status: "loading" });
  useEffect(() => {
    const leaving = new AbortController();
    let retry: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      try {
        const history = await loadHistory(user, channel, leaving.signal);
        if (!leaving.signal.aborted) setLoading({ status: "ready", history });
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (error instanceof Refused) {
          setLoading({ status: "refused", reason: error.message });
          return;
        }
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
  }, [user, channel, turn]);
  return loading;
}
