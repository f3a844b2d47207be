import type { State } from "@courier/client";

import { useNow } from "./useNow";

interface Props {
  state: State;
  onConnect: () => void;
}

/** How the page is joined to Courier, in a word, and what can be done about it. */
export function Connection({ state, onConnect }: Props) {
  const now = useNow(state.status === "waiting" ? 200 : undefined);
  return (
    <span className="connection">
      <span className="pill" role="status" data-state={TONES[state.status]} data-status={state.status}>
        <span className="dot" />
        <span className="number">{label(state, now)}</span>
      </span>
      {(state.status === "waiting" || state.status === "refused") && (
        <button className="button small" onClick={onConnect}>
          Try now
        </button>
      )}
    </span>
  );
}

const TONES: Record<State["status"], string> = {
  idle: "idle",
  connecting: "idle",
  open: "ready",
  waiting: "leaving",
  offline: "away",
  refused: "away",
  closed: "idle",
};

function label(state: State, now: number): string {
  switch (state.status) {
    case "open":
      return "Live";
    case "waiting":
      return state.retryAt
        ? `Back in ${Math.max(0, (state.retryAt - now) / 1000).toFixed(1)} s`
        : "Catching up";
    case "offline":
      return "Offline";
    case "refused":
      return `Refused: ${state.reason}`;
    case "closed":
      return "Closed";
    default:
      return "Connecting";
  }
}
