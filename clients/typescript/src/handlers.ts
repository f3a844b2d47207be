/** Takes one value; what is returned is waited for when it is a promise. */
export type Handler<T> = (value: T) => unknown;

/** Takes what a handler threw, or what its promise was rejected with. */
export type OnError = (error: unknown) => void;

/** The window's `error` event where there is one, otherwise the console: the error is somebody else's. */
export function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
}

/** An `onError` that does not throw: an error of its own is reported. */
export function careful(onError: OnError = report): OnError {
  return (error) => {
    try {
      onError(error);
    } catch (another) {
      report(another);
    }
  };
}

/** Handlers of one kind of value, called in the order in which they were added. None stops another. */
export class Handlers<T> {
  readonly #handlers = new Set<Handler<T>>();
  readonly #onError: OnError;

  /** `onError` must not throw. */
  constructor(onError: OnError) {
    this.#onError = onError;
  }

  /** Adds a handler, once however often it is added; what you get removes it. */
  add(handler: Handler<T>): () => void {
    this.#handlers.add(handler);
    return () => this.delete(handler);
  }

  delete(handler: Handler<T>): void {
    this.#handlers.delete(handler);
  }

  clear(): void {
    this.#handlers.clear();
  }

  /**
   * Calls all that are there now. A promise when one of them gave one: it resolves when they all are done.
   */
  emit(value: T): Promise<unknown> | undefined {
    const pending: PromiseLike<unknown>[] = [];
    for (const handler of [...this.#handlers]) {
      if (!this.#handlers.has(handler)) continue; // an earlier one has removed it
      try {
        const result = handler(value);
        if (isPromise(result)) pending.push(result.then(undefined, this.#onError));
      } catch (error) {
        this.#onError(error);
      }
    }
    return pending.length > 0 ? Promise.all(pending) : undefined;
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
