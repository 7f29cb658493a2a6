// The memory file and QEMU's migration settings are ready before the guest stops.

import { Migration } from "../../qemu/migration.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";

/** 1-5 ms: QEMU's floor for the pause of `live`; a larger limit only lengthens it (measured, 7.2 and 10.0). */
const downtimeLimitMilliseconds = 2;

export const prepareMemory: Step = {
  name: "prepareMemory",
  phase: "Preparing",
  applies: (context) => context.hasMemory,
  async run(context) {
    await context.files.create("memory", memoryFile(context));
    try {
      await new Migration({ guest: context.guest, clock: context.clock }).prepare({
        before: context.prepared.migrationSettings,
        ...(context.job.plan.capture === "live" && { downtimeLimitMilliseconds }),
      });
    } catch (error) {
      throw Failure.from(error, "MemorySaveFailed");
    }
  },
  async cleanUp(context) {
    await restoreSettings(context);
    // Memory is nobody's disk: no unlink of it can lose a write.
    await context.files.remove(memoryFile(context));
  },
};

/** The final path of the memory. */
export function memoryFile(context: SnapshotContext): string {
  const { memoryFile: path } = context.prepared;
  if (path === undefined) throw new Failure("InternalError", "this snapshot has no memory file");
  return path;
}

/** Capabilities and parameters are global to QEMU: ours would spoil its next real migration. */
export async function restoreSettings(context: SnapshotContext): Promise<void> {
  await new Migration({ guest: context.guest, clock: context.clock }).restore(context.prepared.migrationSettings);
}
