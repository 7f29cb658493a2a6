// Memory goes to the file by a migration, bounded in time and size. In `live` QEMU stops the guest itself at the end.

import { stat } from "node:fs/promises";
import { Migration, type MigrationState } from "../../qemu/migration.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";
import { memoryFile } from "./prepare-memory.ts";

const stalledMilliseconds = 30_000;
const stuckMilliseconds = 60_000;
/** A guest that dirties faster than it is saved writes the same pages again and again: stop it at this multiple. */
const liveSizeFactor = 3;
const assumedBytesPerSecond = 50_000_000;
const reportEveryMilliseconds = 1000;

export const saveMemory: Step = {
  name: "saveMemory",
  phase: "SavingMemory",
  applies: (context) => context.hasMemory,
  async run(context, signal) {
    const { guest, clock, job, memoryWriter } = context;
    if (memoryWriter === undefined) throw new Failure("InternalError", "no memory writer was chosen");
    const migration = new Migration({ guest, clock });
    const unsubscribe = guest.connection.on("STOP", (event) => context.stamp("pausedAt", event.at));
    const endListening = job.plan.capture === "live" ? context.standstill.beginAtStop() : undefined;
    // A guest that was paused before has no pause of ours to begin with.
    if (job.plan.capture !== "live") context.standstill.begin();
    const path = context.files.hidden(memoryFile(context));
    try {
      await migration.start(memoryWriter.uri(path), signal);
      const state = await new BoundedSave(context, migration).run(signal);
      if (state.status !== "completed") {
        throw new Failure(
          "MemorySaveFailed",
          `QEMU could not save the memory to ${path}: ${state.error ?? state.status}`,
        );
      }
      await requireStopped(context);
      const { size } = await stat(path);
      // With a child process QEMU reports success even if the reader lost data.
      if (size < state.transferredBytes) {
        throw new Failure(
          "MemorySaveFailed",
          `${path} has ${size} bytes where QEMU wrote ${state.transferredBytes}; is the file system full?`,
        );
      }
      context.stamp("memorySavedAt");
      context.update({ memory: { ...context.report.memory, sizeBytes: size, progressPercent: 100 } });
    } catch (error) {
      signal.throwIfAborted();
      throw Failure.from(error, "MemorySaveFailed");
    } finally {
      unsubscribe();
      endListening?.();
    }
  },
  /** On storage that hangs QEMU's writer may never end; the guest does not wait for it. */
  async undo(context, signal) {
    await new Migration({ guest: context.guest, clock: context.clock }).cancel(signal);
  },
  /** Until the writer has ended QEMU takes no settings, and its file is not ours to remove. */
  async cleanUp(context) {
    await endMigration(context);
  },
};

async function endMigration(context: SnapshotContext): Promise<void> {
  const { guest, clock } = context;
  const over = new AbortController();
  const stuck = clock.sleep(stuckMilliseconds, over.signal).then(() => {
    throw new Failure(
      "MemorySaveFailed",
      `QEMU is still writing to ${memoryFile(context)} after ${stuckMilliseconds / 1000} s; its storage hangs`,
    );
  });
  stuck.catch(() => undefined);
  try {
    await Promise.race([new Migration({ guest, clock }).cancel(over.signal), stuck]);
  } finally {
    over.abort();
  }
}

/** Watches a save: no progress, too long, too large. */
class BoundedSave {
  readonly #context: SnapshotContext;
  readonly #migration: Migration;
  readonly #cancel = new AbortController();
  readonly #limitMilliseconds: number;
  #startedAt: number;
  #stopped: boolean;
  #lastTransferred = -1;
  #lastProgressAt: number;
  #lastReportAt = 0;

  constructor(context: SnapshotContext, migration: Migration) {
    const { job, prepared, clock } = context;
    this.#context = context;
    this.#migration = migration;
    this.#limitMilliseconds =
      (job.domain.pauseTimeoutSeconds ?? prepared.memoryBytes / assumedBytesPerSecond + 60) * 1000;
    this.#startedAt = clock.monotonic();
    this.#lastProgressAt = this.#startedAt;
    this.#stopped = job.plan.capture !== "live";
  }

  async run(signal: AbortSignal): Promise<MigrationState> {
    return await this.#migration.finished({
      signal: AbortSignal.any([signal, this.#cancel.signal]),
      onProgress: (state) => this.#look(state),
    });
  }

  #look(state: MigrationState): void {
    const now = this.#context.clock.monotonic();
    if (state.transferredBytes !== this.#lastTransferred) {
      this.#lastTransferred = state.transferredBytes;
      this.#lastProgressAt = now;
    }
    if (now - this.#lastProgressAt > stalledMilliseconds) {
      this.#cancel.abort(
        new Failure(
          "MemorySaveFailed",
          `no memory was written for ${stalledMilliseconds / 1000} s; is the storage of the memory file hung?`,
        ),
      );
    }
    const late = now - this.#startedAt > this.#limitMilliseconds;
    const large = state.transferredBytes > liveSizeFactor * this.#context.prepared.memoryBytes;
    if (late && this.#stopped) {
      this.#cancel.abort(
        new Failure(
          "PauseTimeout",
          `memory was not saved within ${Math.round(this.#limitMilliseconds / 1000)} s; raise pauseTimeoutSeconds of the domain or use faster storage`,
        ),
      );
    }
    if ((late || large) && !this.#stopped) this.#stop(now);
    this.#report(state, now);
  }

  /** The guest dirties faster than it is saved: stop it, the rest then fits. */
  #stop(now: number): void {
    this.#stopped = true;
    this.#startedAt = now;
    this.#context.log.info("live capture does not converge; the guest is stopped for the rest");
    this.#context.guest.stop().catch((error: unknown) => this.#cancel.abort(error));
  }

  #report(state: MigrationState, now: number): void {
    if (now - this.#lastReportAt < reportEveryMilliseconds || state.totalBytes === 0) return;
    this.#lastReportAt = now;
    const progressPercent = Math.min(99, Math.floor(100 * (1 - state.remainingBytes / state.totalBytes)));
    this.#context.update({ memory: { ...this.#context.report.memory, progressPercent } });
  }
}

/** The transaction must never meet a guest that ran since. */
async function requireStopped(context: SnapshotContext): Promise<void> {
  const state = await context.guest.runState();
  context.standstill.require();
  if (state === "running")
    throw new Failure("MemorySaveFailed", "the guest runs although its memory was saved; somebody else resumed it");
}
