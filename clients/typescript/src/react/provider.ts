import {
  createContext,
  createElement,
  useContext,
  useEffect,
  useInsertionEffect,
  useMemo,
  useRef,
  type ReactNode,
} from "react";

import type { ClientOptions } from "../options.js";
import type { AnyChannel } from "../register.js";
import { report } from "../handlers.js";
import { shareToken, type GetToken } from "../tokens.js";
import { Pool } from "./pool.js";

const PoolContext = createContext<Pool | undefined>(undefined);

export interface CourierProviderProps extends Pick<ClientOptions, "url" | "WebSocket" | "onError"> {
  /** The signed-in user's token. Another one is used when Courier asks for one, or has refused the last. */
  token?: string | undefined;
  /** Or whoever gives tokens: asked once for all channels. */
  getToken?: GetToken | undefined;
  /**
   * Where to start a channel when it is opened, such as a position that was kept; else with the next event.
   */
  since?: ((channel: AnyChannel) => string | null | undefined) | undefined;
  children?: ReactNode;
}

/**
 * Lets the components below subscribe, on one socket a channel.
 *
 * One provider is for one user: give it the user's id as `key`, so that who signs in next gets sockets of
 * their own.
 */
export function CourierProvider(props: CourierProviderProps): ReactNode {
  const latest = useLatest(props);
  const { url, token } = props;
  const pool = useMemo(() => {
    const onError = (error: unknown) => (latest.current.onError ?? report)(error);
    const shared = shareToken((stale) => latest.current.getToken?.(stale) ?? null);
    const getToken: GetToken = (stale) => latest.current.token ?? shared(stale);
    const options = (channel: AnyChannel) => {
      const { since, WebSocket } = latest.current;
      return { url, channel, getToken, since: since?.(channel), WebSocket, onError };
    };
    return new Pool(options, onError);
  }, [url, latest]);
  useEffect(() => pool.mount(), [pool]);
  useEffect(() => pool.retry(), [pool, token]);
  return createElement(PoolContext.Provider, { value: pool }, props.children);
}

/** The pool of the provider above; throws when there is none. */
export function usePool(): Pool {
  const pool = useContext(PoolContext);
  if (!pool) throw new Error("There is no <CourierProvider> above this component");
  return pool;
}

/** A box with what was rendered last, for what is called later. */
export function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  useInsertionEffect(() => {
    latest.current = value;
  });
  return latest;
}
