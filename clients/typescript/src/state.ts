/** What a client is at. */
export type State =
  /** `connect` has not been called. */
  | { readonly status: "idle" }
  /** A token is asked for, or a connection made. */
  | { readonly status: "connecting" }
  /** Courier has answered: events come. */
  | { readonly status: "open" }
  /**
   * The connection has ended, and another one is made at `retryAt`, in milliseconds as `Date.now()` counts
   * them.
   */
  | { readonly status: "waiting"; readonly retryAt?: number; readonly reason: string }
  /** Courier does not want it back: only `connect` makes another try. */
  | { readonly status: "refused"; readonly code: number; readonly reason: string }
  /** `disconnect` was called. */
  | { readonly status: "closed" };
