/**
 * Calls `lost` when the browser loses its network, and `awake` when it is back or when the page is seen again
 * after it was hidden or its machine asleep; what you get stops that. Does nothing where there is no browser.
 *
 * It is changes that count: at the start `navigator.onLine` is false in some browsers that are connected, and
 * always on a machine that reaches nobody but itself.
 */
export function watchNetwork(lost: () => void, awake: () => void): () => void {
  if (typeof addEventListener !== "function") return () => undefined;
  const page = typeof document === "undefined" ? undefined : document;
  const shown = () => {
    if (page?.visibilityState === "visible" && navigator.onLine) awake();
  };
  addEventListener("offline", lost);
  addEventListener("online", awake);
  page?.addEventListener("visibilitychange", shown);
  return () => {
    removeEventListener("offline", lost);
    removeEventListener("online", awake);
    page?.removeEventListener("visibilitychange", shown);
  };
}
