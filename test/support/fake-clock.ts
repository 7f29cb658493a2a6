// A clock that stands still until it is told to advance: sleepers wake in the order of their times, one after another.

import type { Clock } from "../../src/runtime/clock.ts";
import { Sleepers } from "./sleepers.ts";

export class FakeClock implements Clock {
  #monotonic = 0;
  #wall: number;
  readonly #sleepers = new Sleepers();

  constructor(options: { startMilliseconds?: number } = {}) {
    this.#wall = options.startMilliseconds ?? Date.UTC(2026, 0, 1);
  }

  now(): number {
    return this.#wall + this.#monotonic;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** How many sleep now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Shifts the wall clock, as an administrator or NTP would; the monotonic one goes on. */
  setWallClock(epochMilliseconds: number): void {
    this.#wall = epochMilliseconds - this.#monotonic;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return this.#sleepers.sleep(this.#monotonic + Math.max(0, milliseconds), signal);
  }

  /** Moves time on, waking each sleeper at its own time and letting what it started settle before the next. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#monotonic + milliseconds;
    await settle();
    for (let next = this.#sleepers.takeEarliest(end); next !== undefined; next = this.#sleepers.takeEarliest(end)) {
      this.#monotonic = Math.max(this.#monotonic, next.at);
      next.wake();
      await settle();
    }
    this.#monotonic = end;
    await settle();
  }
}

/** Lets all promise callbacks run that are due now. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
