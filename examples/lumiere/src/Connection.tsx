import type { State } from "@courier/client";

import { useNow } from "./useNow";

interface Props {
  state: State;
  onConnect: () => void;
}

/** How the page is joined to Courier, in a word, and the next try at once. */
export function Connection({ state, onConnect }: Props) {
  return (
    <span className="connection">
      <span className="pill" role="status" data-state={TONES[state.status]} data-status={state.status}>
        <span className="dot" />
        {state.status === "waiting" && state.retryAt !== undefined && <Countdown to={state.retryAt} />}
        <span className={state.status === "waiting" ? "visually-hidden" : ""}>{WORDS[state.status]}</span>
      </span>
      {state.status === "waiting" && (
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
  refused: "away",
  closed: "idle",
};

const WORDS: Record<State["status"], string> = {
  idle: "Connecting",
  connecting: "Connecting",
  open: "Live",
  waiting: "Reconnecting",
  refused: "Refused",
  closed: "Closed",
};

/** For the eye only: a screen reader would say each step. */
function Countdown({ to }: { to: number }) {
  const seconds = Math.max(0, to - useNow(200)) / 1_000;
  return (
    <span className="number" aria-hidden="true">
      Back in {seconds.toFixed(1)} s
    </span>
  );
}
