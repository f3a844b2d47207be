import { careful, Handlers, type Handler, type OnError } from "./handlers.js";
import type { AnyEvent, AnyEventOf, AnyEventType } from "./register.js";

/**
 * Calls the handlers of an event's type: `client.onMessage(router.dispatch)`.
 *
 * A handler that fails stops no other. Its error goes to `onError`, or else to the window's `error` event, or
 * the console where there is no window.
 */
export class EventRouter {
  readonly #types = new Map<string, Handlers<AnyEvent>>();
  readonly #onError: OnError;

  constructor(options: { onError?: OnError | undefined } = {}) {
    this.#onError = careful(options.onError);
  }

  /** Calls `handler` with each event of the type; what you get removes it. */
  on<T extends AnyEventType>(type: T, handler: Handler<AnyEventOf<T>>): () => void {
    let handlers = this.#types.get(type);
    if (!handlers) this.#types.set(type, (handlers = new Handlers(this.#onError)));
    return handlers.add(handler as Handler<AnyEvent>);
  }

  /** Removes a handler. One that is not there is no error. */
  off<T extends AnyEventType>(type: T, handler: Handler<AnyEventOf<T>>): void {
    this.#types.get(type)?.delete(handler as Handler<AnyEvent>);
  }

  /**
   * Hands an event to the handlers of its type. A promise, when one of them gave one: it resolves when all
   * are done.
   */
  readonly dispatch = (event: AnyEvent): Promise<unknown> | undefined =>
    this.#types.get(event.type)?.emit(event);
}
