/**
 * Gives a token, or null when there is none to be had, which ends the subscription.
 *
 * `stale` is the token that is no longer good, or soon will not be: do not give it again.
 */
export type GetToken = (stale?: string) => string | null | Promise<string | null>;

/** One that has given no answer for so long is asked again. */
export const ANSWER_MS = 30_000;

/**
 * A `getToken` for several clients: however many ask, yours is called once, and all get the same token until
 * one of them says that it is stale. When yours fails, all who wait for it fail, and the next one to ask
 * calls it again; so it does when yours has given no answer for half a minute.
 */
export function shareToken(getToken: GetToken): GetToken {
  let held: string | null = null;
  let asked: Promise<string | null> | undefined;
  let askedAt = 0;
  const ask = (stale?: string) => {
    askedAt = performance.now();
    const answer: Promise<string | null> = Promise.resolve(stale)
      .then(getToken)
      .then((token) => (asked === answer ? (held = token) : token))
      .finally(() => {
        if (asked === answer) asked = undefined;
      });
    return (asked = answer);
  };
  return (stale) => {
    if (held !== null && held !== stale) return held;
    return asked && performance.now() - askedAt < ANSWER_MS ? asked : ask(stale);
  };
}
