/**
 * Calls `look` whenever the browser gives reason to look after a connection: its network goes or comes back, or
 * the page is seen or runs again after it was hidden, asleep or frozen. What you get stops that. Does nothing
 * where there is no browser.
 *
 * These are hints and no facts: a browser may say "offline" though every connection works, and
 * `navigator.onLine` is false for ever on a machine that reaches nobody but itself.
 */
export function watchNetwork(look: () => void): () => void {
  if (typeof addEventListener !== "function") return () => undefined;
  const page = typeof document === "undefined" ? undefined : document;
  const shown = () => {
    if (page?.visibilityState !== "hidden") look();
  };
  const watched = [
    [globalThis, "offline", look],
    [globalThis, "online", look],
    [globalThis, "pageshow", look],
    [page, "resume", look],
    [page, "visibilitychange", shown],
  ] as const;
  for (const [target, event, hear] of watched) target?.addEventListener(event, hear);
  return () => {
    for (const [target, event, hear] of watched) target?.removeEventListener(event, hear);
  };
}
