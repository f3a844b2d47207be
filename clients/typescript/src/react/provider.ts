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

import { report } from "../handlers.js";
import { CourierConnection } from "../many.js";
import type { SharedOptions } from "../options.js";
import type { AnyChannel } from "../register.js";
import type { GetToken } from "../tokens.js";
import { Pool } from "./pool.js";

const PoolContext = createContext<Pool | undefined>(undefined);

export interface CourierProviderProps extends Pick<
  SharedOptions,
  "url" | "WebSocket" | "onError" | "shareAcrossTabs"
> {
  /** The signed-in user's token. Another one is used when Courier asks for one, or has refused the last. */
  token?: string | undefined;
  /** Or what gives tokens. */
  getToken?: GetToken | undefined;
  /**
   * Where to start a channel when it is opened, such as a position that was kept; else with the next event.
   */
  since?: ((channel: AnyChannel) => string | null | undefined) | undefined;
  children?: ReactNode;
}

/**
 * Lets the components below subscribe, all on one socket.
 *
 * One provider is for one user: give it the user's id as `key`, so that who signs in next gets a socket of
 * their own.
 */
export function CourierProvider(props: CourierProviderProps): ReactNode {
  const latest = useLatest(props);
  const { url, token, shareAcrossTabs } = props;
  const pool = useMemo(() => {
    const onError = (error: unknown) => (latest.current.onError ?? report)(error);
    const getToken: GetToken = (stale) => latest.current.token ?? latest.current.getToken?.(stale) ?? null;
    const connect = () =>
      new CourierConnection({ url, getToken, shareAcrossTabs, WebSocket: latest.current.WebSocket, onError });
    return new Pool(connect, (channel) => latest.current.since?.(channel), onError);
  }, [url, shareAcrossTabs, latest]);
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
