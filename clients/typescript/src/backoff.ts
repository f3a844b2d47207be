const BASE_MS = 500;
const CAP_MS = 30_000;

/**
 * How long to wait after the failure of try number `attempt`, counted from 0, in milliseconds.
 *
 * Full jitter (Exponential Backoff And Jitter, AWS Architecture Blog, 2015): any moment between now and a
 * limit that doubles with each try, so that those who failed together do not come back together.
 */
export function backoff(attempt: number, random: () => number = Math.random): number {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}
