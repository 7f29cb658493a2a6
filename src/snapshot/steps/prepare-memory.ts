// The memory file and QEMU's migration settings are ready before the guest stops.

import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Migration } from "../../qemu/migration.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";

/** 1-5 ms: QEMU's floor for the pause of `live`; a larger limit only lengthens it (measured, 7.2 and 10.0). */
const downtimeLimitMilliseconds = 2;

export const prepareMemory: Step = {
  name: "prepareMemory",
  phase: "Preparing",
  applies: (context) => context.hasMemory,
  async run(context) {
    const path = partialMemoryFile(context);
    const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    await file.close();
    context.createdFiles.add(path);
    await new Migration({ guest: context.guest, clock: context.clock }).prepare({
      before: context.prepared.migrationSettings,
      ...(context.job.plan.capture === "live" && { downtimeLimitMilliseconds }),
    });
  },
  async cleanUp(context) {
    await discardPartialMemory(context);
    await restoreSettings(context);
  },
};

/** Removes memory that never became whole; needs no guest. */
export async function discardPartialMemory(context: SnapshotContext): Promise<void> {
  const path = partialMemoryFile(context);
  if (context.createdFiles.has(path)) await rm(path, { force: true });
}

/** The name under which memory is written until it is whole. */
export function partialMemoryFile(context: SnapshotContext): string {
  const file = context.prepared.memoryFile ?? "";
  return join(dirname(file), `.${basename(file)}.${context.job.uid.slice(0, 8)}.partial`);
}

/** Capabilities and parameters are global to QEMU: ours would spoil its next real migration. */
export async function restoreSettings(context: SnapshotContext): Promise<void> {
  await new Migration({ guest: context.guest, clock: context.clock }).restore(context.prepared.migrationSettings);
}
