// From the pause until our own `cont` nobody else may let the guest run: memory and disks would be of two instants.

import { type IoCounters, ioCounters, ioMoved } from "../qemu/io-counters.ts";
import { Failure } from "../runtime/failure.ts";
import type { SnapshotContext } from "./context.ts";

export class Standstill {
  readonly #context: SnapshotContext;
  #unsubscribe: () => void = () => undefined;
  #listener: () => void = () => undefined;
  #brokenAt: number | undefined;
  #watching = false;

  constructor(context: SnapshotContext) {
    this.#context = context;
  }

  /** When somebody else let the guest run, in wall-clock milliseconds. */
  get brokenAt(): number | undefined {
    return this.#brokenAt;
  }

  /** Watches for RESUME on the present session; safe to repeat, and needed again after a reconnect. */
  begin(): void {
    this.#watching = true;
    this.#unsubscribe();
    this.#unsubscribe = this.#context.guest.connection.on("RESUME", (event) => this.#broken(event.at));
  }

  /**
   * For a capture in which QEMU itself stops the guest: watches from the last STOP before the migration has completed. A
   * stop and a resume by others while memory is still being copied spoil nothing. Returns what ends the listening.
   */
  beginAtStop(): () => void {
    const { connection } = this.#context.guest;
    let completed = false;
    const listening = [
      connection.on("MIGRATION", ({ data }) => {
        completed ||= data["status"] === "completed";
      }),
      connection.on("STOP", () => {
        if (completed) return;
        this.#brokenAt = undefined;
        this.begin();
      }),
    ];
    return () => {
      for (const end of listening) end();
    };
  }

  /** Our own `cont` comes next. */
  end(): void {
    this.#watching = false;
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

  /** After a gap in what we saw: without counters from before it, nobody can tell whether the guest ran in it. */
  async afterGap(): Promise<void> {
    if (!this.#watching) return;
    this.begin();
    const counters = this.#context.holdBegan?.counters;
    if (counters === undefined) this.#context.ranSinceSwitch = true;
    await this.look(counters);
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
