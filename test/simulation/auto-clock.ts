// A clock that jumps to the next sleeper as soon as nothing else is left to do: hours pass in milliseconds, in order.

import type { Clock } from "../../src/runtime/clock.ts";
import { Sleepers } from "../support/sleepers.ts";

/** Work in the kernel or in a child process: time stands still until it is done. */
const outside: ReadonlySet<string> = new Set([
  "FSReqPromise",
  "FSReqCallback",
  "CloseReq",
  "ProcessWrap",
  "PipeWrap",
  "PipeConnectWrap",
  "WriteWrap",
  "ShutdownWrap",
]);
/** The program's own standard streams are pipes where a test runs. */
const mayRest = "PipeWrap";
const quietTurns = 3;

export class AutoClock implements Clock {
  #monotonic = 0;
  #jump = 0;
  readonly #sleepers = new Sleepers();
  readonly #resting: number;
  #driving = false;

  constructor() {
    this.#resting = countOutside().get(mayRest) ?? 0;
  }

  now(): number {
    return Date.UTC(2026, 0, 1) + this.#monotonic + this.#jump;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Moves the wall clock, as an administrator or NTP would. */
  jump(milliseconds: number): void {
    this.#jump += milliseconds;
  }

  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    const asleep = this.#sleepers.sleep(this.#monotonic + Math.max(0, milliseconds), signal);
    void this.#drive();
    await asleep;
  }

  async #drive(): Promise<void> {
    if (this.#driving) return;
    this.#driving = true;
    while (this.#sleepers.size > 0) {
      for (let quiet = 0; quiet < quietTurns; quiet += 1) {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#busy()) quiet = -1;
      }
      const next = this.#sleepers.takeEarliest();
      if (next === undefined) break;
      this.#monotonic = Math.max(this.#monotonic, next.at);
      next.wake();
    }
    this.#driving = false;
  }

  #busy(): boolean {
    for (const [kind, count] of countOutside()) if (count > (kind === mayRest ? this.#resting : 0)) return true;
    return false;
  }
}

function countOutside(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (outside.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
