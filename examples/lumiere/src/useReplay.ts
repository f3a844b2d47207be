import type { DeliveredEvent } from "@courier/client";
import { useReducer, type Dispatch } from "react";

type Reduce<S> = (state: S, event: DeliveredEvent) => S;

/** What past events come to, and the function that takes each further one. */
export function useReplay<S>(
  reduce: Reduce<S>,
  initial: S,
  past: readonly DeliveredEvent[],
): [S, Dispatch<DeliveredEvent>] {
  return useReducer(reduce, past, (events) => events.reduce(reduce, initial));
}
