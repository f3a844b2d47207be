/**
 * Gives a token, or null when there is none to be had, which ends the subscription.
 *
 * `stale` is the token that is no longer good, or soon will not be: do not give it again.
 */
export type GetToken = (stale?: string) => string | null | Promise<string | null>;

/**
 * A `getToken` for several clients: however many ask, yours is called once, and all get the same token until
 * one of them says that it is stale. When yours fails, all who wait for it fail, and the next one to ask
 * calls it again.
 */
export function shareToken(getToken: GetToken): GetToken {
  let held: string | null = null;
  let asked: Promise<string | null> | undefined;
  const ask = (stale?: string) =>
    Promise.resolve(stale)
      .then(getToken)
      .then((token) => (held = token))
      .finally(() => (asked = undefined));
  return (stale) => (held !== null && held !== stale ? held : (asked ??= ask(stale)));
}
