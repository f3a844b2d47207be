/** What tabs of one browser share: locks, and channels between them. */
import { vi } from "vitest";

interface Request {
  name: string;
  run: () => unknown;
  fulfil: (value: unknown) => void;
  reject: (error: unknown) => void;
  taken?: true;
}

type Granted = () => unknown;

/** Web Locks (W3C), as far as tabs use them: exclusive ones, with `signal` and `steal`. */
class FakeLocks {
  readonly #held = new Map<string, Request>();
  readonly #queue: Request[] = [];

  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, run: Granted): Promise<unknown> {
    return new Promise((fulfil, reject) => {
      const request: Request = { name, run, fulfil, reject };
      const { signal, steal } = options;
      if (steal) {
        const robbed = this.#held.get(name);
        // It runs for a while until it hears of it.
        setTimeout(() => robbed?.reject(new DOMException("Stolen", "AbortError")), 500);
        this.#held.delete(name);
        this.#queue.unshift(request);
      } else {
        signal?.addEventListener("abort", () => {
          const place = this.#queue.indexOf(request);
          if (place < 0) return;
          this.#queue.splice(place, 1);
          reject(new DOMException("Aborted", "AbortError"));
        });
        this.#queue.push(request);
      }
      this.#grant(name);
    });
  }

  #grant(name: string): void {
    queueMicrotask(() => {
      const place = this.#queue.findIndex((each) => each.name === name);
      if (this.#held.has(name) || place < 0) return;
      const [request] = this.#queue.splice(place, 1);
      this.#held.set(name, request!);
      void Promise.resolve(request!.run()).then((value) => {
        if (this.#held.get(name) !== request) return; // it was stolen
        this.#held.delete(name);
        request!.fulfil(value);
        this.#grant(name);
      });
    });
  }
}

/** `BroadcastChannel` of HTML, 9.5. */
export class FakeBroadcast {
  static readonly all: FakeBroadcast[] = [];
  readonly name: string;
  onmessage: ((event: { data: unknown }) => void) | undefined;
  /** Its tab runs no task, until `thaw`. */
  frozen = false;
  #closed = false;
  #waiting: unknown[] = [];

  constructor(name: string) {
    this.name = name;
    FakeBroadcast.all.push(this);
  }

  postMessage(data: unknown): void {
    if (this.#closed) throw new DOMException("It is closed", "InvalidStateError");
    for (const other of FakeBroadcast.all)
      if (other !== this && other.name === this.name) other.#hear(structuredClone(data));
  }

  close(): void {
    this.#closed = true;
  }

  thaw(): void {
    this.frozen = false;
    for (const data of this.#waiting.splice(0)) this.#hear(data);
  }

  #hear(data: unknown): void {
    if (this.frozen) this.#waiting.push(data);
    else queueMicrotask(() => this.#closed || this.onmessage?.({ data }));
  }
}

/** Gives this process what a browser has; `vi.unstubAllGlobals` takes it away. */
export function aBrowser(): void {
  FakeBroadcast.all.length = 0;
  vi.stubGlobal("BroadcastChannel", FakeBroadcast);
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
}
