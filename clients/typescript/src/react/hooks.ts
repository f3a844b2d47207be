import { useCallback, useEffect, useState, useSyncExternalStore } from "react";

import type { Handler } from "../handlers.js";
import type { AnyChannel, AnyEvent, AnyEventOf, AnyEventType } from "../register.js";
import { IDLE, type Subscription } from "./channel.js";
import { useLatest, usePool } from "./provider.js";

/** A channel's name; none while it is not known yet. */
export type ChannelOrNone = AnyChannel | null | undefined;

/**
 * Keeps a channel open while the component is mounted, and renders it when the channel's state or gap
 * changes.
 *
 * Without a channel, and on a server, it is `idle`.
 */
export function useCourier(channel: ChannelOrNone): Subscription {
  const pool = usePool();
  const watch = useCallback(
    (listener: () => void) => (channel ? pool.watch(channel, listener) : () => undefined),
    [pool, channel],
  );
  return useSyncExternalStore(
    watch,
    () => (channel ? pool.see(channel) : IDLE),
    () => IDLE,
  );
}

/**
 * Calls `handler` with each event of a type while the component is mounted: the one that was rendered last.
 *
 * With a channel it keeps that one open, and gets its events; while the channel is null, none. Without a
 * channel it gets those of every channel that is open below the provider, and opens none.
 */
export function useCourierEvent<T extends AnyEventType>(type: T, handler: Handler<AnyEventOf<T>>): void;
export function useCourierEvent<T extends AnyEventType>(
  channel: ChannelOrNone,
  type: T,
  handler: Handler<AnyEventOf<T>>,
): void;
export function useCourierEvent<T extends AnyEventType>(
  ...given: [T, Handler<AnyEventOf<T>>] | [ChannelOrNone, T, Handler<AnyEventOf<T>>]
): void {
  const pool = usePool();
  const everywhere = given.length === 2;
  const [channel, type, handler] = everywhere ? [null, ...given] : given;
  const latest = useLatest(handler as Handler<AnyEvent>);
  useEffect(() => {
    if (!channel && !everywhere) return undefined;
    return pool.listen(channel ?? undefined, type, (event) => latest.current(event));
  }, [pool, everywhere, channel, type, latest]);
}

/**
 * A state that the channel's events change: what `load` gives, then what `reduce` makes of it with each event.
 * Undefined until it is loaded.
 *
 * It is loaded once the channel is open, and again where events are missing, so that no change is lost between
 * the two. An event that came while it loaded may be in the state already: let `reduce` set, and not add. The
 * functions are those that were rendered last; `reduce` must be pure. A `load` that fails is tried again.
 */
export function useCourierState<S>(
  channel: ChannelOrNone,
  load: () => S | Promise<S>,
  reduce: (state: S, event: AnyEvent) => S,
): S | undefined {
  const pool = usePool();
  const latest = useLatest({ load, reduce });
  const [held, setHeld] = useState<{ of: ChannelOrNone; value: S }>();
  useEffect(() => {
    if (!channel) return undefined;
    return pool.follow<S>(channel, {
      load: () => latest.current.load(),
      loaded: (value) => setHeld({ of: channel, value }),
      event: (event) =>
        setHeld((before) => before && { of: channel, value: latest.current.reduce(before.value, event) }),
    });
  }, [pool, channel, latest]);
  return held?.of === channel ? held?.value : undefined;
}
