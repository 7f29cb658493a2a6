// Lets a burst through and then a steady trickle.

import type { Clock } from "../runtime/clock.ts";

export class TokenBucket {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #refillMilliseconds: number;
  #tokens: number;
  #countedAt: number;

  /** Starts full; one token returns every `refillMilliseconds`. */
  constructor(options: { clock: Clock; burst: number; refillMilliseconds: number }) {
    this.#clock = options.clock;
    this.#burst = options.burst;
    this.#refillMilliseconds = options.refillMilliseconds;
    this.#tokens = options.burst;
    this.#countedAt = options.clock.monotonic();
  }

  /** Takes a token if there is one. */
  tryTake(): boolean {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#countedAt) / this.#refillMilliseconds);
    this.#countedAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
