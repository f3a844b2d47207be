import type { OnError } from "./handlers.js";
import type { GetToken } from "./tokens.js";

/** Courier says nothing of a token that it cannot judge at the moment. */
const AGAIN_MS = 5_000;

/**
 * Gives Courier a newer token than `stale`, again and again until it is stopped: Courier has it, or has gone.
 */
export class TokenRefresh {
  readonly #getToken: GetToken;
  readonly #stale: string;
  readonly #send: (token: string) => void;
  readonly #onError: OnError;
  #fresh: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(getToken: GetToken, stale: string, send: (token: string) => void, onError: OnError) {
    this.#getToken = getToken;
    this.#stale = stale;
    this.#send = send;
    this.#onError = onError;
    void this.#try();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #try(): Promise<void> {
    try {
      const token = this.#fresh ?? (await this.#getToken(this.#stale));
      if (!this.#stopped && token && token !== this.#stale) {
        this.#send(token);
        this.#fresh = token;
      }
    } catch (error) {
      this.#onError(error); // the old token still counts
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#try(), AGAIN_MS);
  }
}
