import { backoff } from "./backoff.js";
import type { OnError } from "./handlers.js";

/** Loads something: tries until it is there, or is not wanted any more. */
export async function persist<T>(
  load: () => T | Promise<T>,
  onError: OnError,
  wanted: () => boolean,
): Promise<T | undefined> {
  for (let attempt = 0; wanted(); attempt++) {
    try {
      return await load();
    } catch (error) {
      onError(error);
      await new Promise((done) => setTimeout(done, backoff(attempt)));
    }
  }
  return undefined;
}
