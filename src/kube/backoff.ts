// Exponential backoff with jitter, forgotten after a good period.

import type { Clock } from "../runtime/clock.ts";

/**
 * 0.8 s to 5 s, doubling, forgotten after two minutes without a failure. kube-rs grows to 30 s; here a held guest waits
 * for what the watch brings once the API server is back.
 */
export const watchBackoff = { minMilliseconds: 800, maxMilliseconds: 5_000, resetAfterMilliseconds: 120_000 } as const;

export class Backoff {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #min: number;
  readonly #max: number;
  readonly #resetAfter: number;
  #failures = 0;
  #lastFailureAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    clock: Clock;
    random: () => number;
    minMilliseconds: number;
    maxMilliseconds: number;
    resetAfterMilliseconds: number;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#min = options.minMilliseconds;
    this.#max = options.maxMilliseconds;
    this.#resetAfter = options.resetAfterMilliseconds;
  }

  /** Counts a failure and says how long to wait. Between half and the whole of the step, so that clients spread out. */
  nextMilliseconds(): number {
    const now = this.#clock.monotonic();
    if (now - this.#lastFailureAt > this.#resetAfter) this.#failures = 0;
    const delay = backoffMilliseconds({
      failures: this.#failures,
      minMilliseconds: this.#min,
      maxMilliseconds: this.#max,
      random: this.#random,
    });
    this.#failures += 1;
    // The wait itself is no good period.
    this.#lastFailureAt = now + delay;
    return delay;
  }
}

/** The wait after `failures` earlier failures in a row: doubles from min to max, times 0.5 to 1. */
export function backoffMilliseconds(options: {
  failures: number;
  minMilliseconds: number;
  maxMilliseconds: number;
  random: () => number;
}): number {
  const step = Math.min(options.maxMilliseconds, options.minMilliseconds * 2 ** Math.min(options.failures, 40));
  return step * (0.5 + options.random() * 0.5);
}
