// The node, asked over HTTP: one question at a time, and what is known of it.

const PATIENCE_MS = 8000;

/** An answer that is no 200: its status, its sentence, and the facts beside it. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail?.error ?? `The node answered ${status}`);
    this.status = status;
    this.detail = detail ?? {};
  }
}

/** No answer at all. */
export class Away extends Error {}

/** JSON from `/admin/<path>`; raises `Refused` or `Away`. */
export async function ask(path, options = {}) {
  let answer;
  let body = null;
  try {
    answer = await fetch(`/admin/${path}`, {
      credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options,
    });
    body = await answer.json().catch(() => null);
  } catch (error) {
    throw new Away("The node cannot be reached", { cause: error });
  }
  if (!answer.ok) throw new Refused(answer.status, body?.detail);
  return body;
}

/** A query string of those parameters that are something. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

/** Does something again and again, one after the other, while the page is seen; `now` does it at once. */
export function every(milliseconds, task) {
  let timer = 0;
  let ended = false;
  let running = false;
  let wanted = false;
  const turn = async () => {
    clearTimeout(timer);
    if (ended || document.hidden) return;
    if (running) {
      wanted = true;
      return;
    }
    running = true;
    await task().catch((error) => { console.error(error); });
    running = false;
    if (!ended) timer = setTimeout(turn, wanted ? 0 : milliseconds);
    wanted = false;
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  const stop = () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turn);
  };
  return { stop, now: turn };
}
