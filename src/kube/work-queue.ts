// Which key to work on next. Knows nothing of Kubernetes.
//
// Guarantees: a key is never with two takers at once; a key added while it is worked on comes again afterwards; after any
// add, a take of that key follows, no later than asked (if a taker is free); of several requests the earliest wins.

import type { Clock } from "../runtime/clock.ts";
import { backoffMilliseconds } from "./backoff.ts";

interface Taker {
  readonly resolve: (key: string) => void;
}

export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #minBackoff: number;
  readonly #maxBackoff: number;
  /** Due now, in the order in which they came. */
  readonly #ready = new Set<string>();
  /** Due later: monotonic milliseconds. A key is never both here and in #ready or #dirty. */
  readonly #delayed = new Map<string, number>();
  readonly #running = new Set<string>();
  /** Running, and to be run again. */
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #takers = new Set<Taker>();
  #timer: { readonly due: number; readonly stop: AbortController } | undefined;
  #closed = false;

  constructor(options: {
    clock: Clock;
    random: () => number;
    /** Wait after a key's first failure; doubles with each further one, jittered. Default 200 ms. */
    minBackoffMilliseconds?: number;
    /** Default 60 s. */
    maxBackoffMilliseconds?: number;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#minBackoff = options.minBackoffMilliseconds ?? 200;
    this.#maxBackoff = options.maxBackoffMilliseconds ?? 60_000;
  }

  /** Keys that wait for a taker now. */
  get depth(): number {
    return this.#ready.size;
  }

  /** As soon as possible. */
  add(key: string): void {
    if (this.#closed) return;
    this.#delayed.delete(key);
    if (this.#running.has(key)) this.#dirty.add(key);
    else {
      this.#ready.add(key);
      this.#handOut();
    }
  }

  /** After a while, or earlier if anyone asks for earlier. */
  addAfter(key: string, milliseconds: number): void {
    if (milliseconds <= 0) {
      this.add(key);
      return;
    }
    if (this.#closed || this.#ready.has(key) || this.#dirty.has(key)) return;
    const due = this.#clock.monotonic() + milliseconds;
    const known = this.#delayed.get(key);
    if (known !== undefined && known <= due) return;
    this.#delayed.set(key, due);
    this.#arm();
  }

  /** After the key's backoff, which grows until {@link forget}. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const milliseconds = backoffMilliseconds({
      failures,
      minMilliseconds: this.#minBackoff,
      maxMilliseconds: this.#maxBackoff,
      random: this.#random,
    });
    this.addAfter(key, milliseconds);
  }

  /** The key is well: its backoff starts from the beginning again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often in a row the key was added rate-limited. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key; the taker has it until {@link done}. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const taker: Taker = { resolve };
    const onAbort = () => {
      // A key that was handed out already stays with the taker: it must not be lost.
      if (this.#takers.delete(taker)) reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#takers.add(taker);
    this.#handOut();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Gives a taken key back; if it was added meanwhile, it is due at once. */
  done(key: string): void {
    this.#running.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
  }

  /** Forgets everything that waits and takes nothing more. What runs may still be {@link done}. */
  close(): void {
    this.#closed = true;
    this.#ready.clear();
    this.#delayed.clear();
    this.#dirty.clear();
    this.#timer?.stop.abort();
    this.#timer = undefined;
  }

  #handOut(): void {
    for (const key of this.#ready) {
      const [taker] = this.#takers;
      if (taker === undefined) return;
      this.#takers.delete(taker);
      this.#ready.delete(key);
      this.#running.add(key);
      taker.resolve(key);
    }
  }

  /** One timer, for the earliest delayed key. */
  #arm(): void {
    let due = Number.POSITIVE_INFINITY;
    for (const at of this.#delayed.values()) due = Math.min(due, at);
    if (due === Number.POSITIVE_INFINITY || (this.#timer !== undefined && this.#timer.due <= due)) return;
    this.#timer?.stop.abort();
    const timer = { due, stop: new AbortController() };
    this.#timer = timer;
    this.#clock.sleep(Math.max(0, due - this.#clock.monotonic()), timer.stop.signal).then(
      () => this.#fire(timer),
      () => undefined,
    );
  }

  #fire(timer: { readonly due: number }): void {
    if (this.#timer !== timer) return;
    this.#timer = undefined;
    // Timers of the platform may fire a fraction early: what this one was for counts as due.
    const now = Math.max(this.#clock.monotonic(), timer.due);
    const due = [...this.#delayed].filter(([, at]) => at <= now).sort(([, a], [, b]) => a - b);
    for (const [key] of due) this.add(key);
    this.#arm();
  }
}
