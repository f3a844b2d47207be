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

  /** Removes a handler, or all handlers of the type. One that is not there is no error. */
  off(type: AnyEventType): void;
  off<T extends AnyEventType>(type: T, handler: Handler<AnyEventOf<T>>): void;
  off(...given: [type: AnyEventType] | [type: AnyEventType, handler: Handler<never>]): void {
    const handlers = this.#types.get(given[0]);
    // By their number: a handler that is undefined by mistake must not remove those of others.
    if (given.length === 1) handlers?.clear();
    else handlers?.delete(given[1] as Handler<AnyEvent>);
  }

  /**
   * Hands an event to the handlers of its type. A promise, when one of them gave one: it resolves when all
   * are done.
   */
  readonly dispatch = (event: AnyEvent): Promise<unknown> | undefined =>
    this.#types.get(event.type)?.emit(event);

  /** The same as `dispatch`. */
  readonly route = this.dispatch;
}
