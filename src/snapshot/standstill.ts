// From the pause until our own `cont` nobody else may let the guest run: memory and disks would be of two instants.

import { type IoCounters, ioCounters, ioMoved } from "../qemu/io-counters.ts";
import { Failure } from "../runtime/failure.ts";
import type { SnapshotContext } from "./context.ts";

export class Standstill {
  readonly #context: SnapshotContext;
  #unsubscribe: () => void = () => undefined;
  #listener: () => void = () => undefined;
  #brokenAt: number | undefined;

  constructor(context: SnapshotContext) {
    this.#context = context;
  }

  /** When somebody else let the guest run, in wall-clock milliseconds. */
  get brokenAt(): number | undefined {
    return this.#brokenAt;
  }

  /** Watches for RESUME on the present session; safe to repeat, and needed again after a reconnect. */
  begin(): void {
    this.#unsubscribe();
    this.#unsubscribe = this.#context.guest.connection.on("RESUME", (event) => this.#broken(event.at));
  }

  /** Our own `cont` comes next. */
  end(): void {
    this.#unsubscribe();
    this.#unsubscribe = () => undefined;
  }

  /** Called once somebody else lets the guest run. */
  onBroken(listener: () => void): void {
    this.#listener = listener;
  }

  /** Looks whether the guest runs or has run unseen: its I/O counters have moved since `counters`. */
  async look(counters?: IoCounters): Promise<void> {
    const { guest, clock } = this.#context;
    const runs = (await guest.runState()) === "running";
    if (runs || (counters !== undefined && ioMoved(counters, await ioCounters(guest)))) this.#broken(clock.now());
  }

  /** Throws Failure HoldLost if somebody else let the guest run. */
  require(): void {
    if (this.#brokenAt === undefined) return;
    throw new Failure("HoldLost", "somebody else resumed the guest before its disks were captured; create it again");
  }

  #broken(at: number): void {
    if (this.#brokenAt !== undefined) return;
    this.#brokenAt = at;
    this.#context.ranSinceSwitch = true;
    this.#listener();
  }
}
