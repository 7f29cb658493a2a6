// After the guest runs: memory made durable under its final name, QEMU's settings put back, the manifest written.

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { removeMark } from "../../qemu/guest-mark.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { fileFailure } from "../file-failure.ts";
import { removeManifest, writeManifest } from "../manifest.ts";
import { pauseFigures } from "../pause-figures.ts";
import { overNewLink } from "../reconnect.ts";
import type { Step } from "../step.ts";
import { memoryFile, restoreSettings } from "./prepare-memory.ts";

export const finish: Step = {
  name: "finish",
  async run(context) {
    if (context.hasMemory) await completeMemory(context);
    // The snapshot is whole from here on: what fails now is said, but takes nothing away.
    try {
      context.report.pause = pauseFigures(context);
      context.update({ manifest: context.shown(await writeManifest(context)) });
    } catch (error) {
      const { reason, message } = fileFailure(error, "the manifest");
      context.verdict ??= new Failure(
        reason,
        `memory and overlays are whole and kept, but their manifest was not written: ${message}`,
      );
    }
    await leaveGuest(context);
  },
  async cleanUp(context) {
    await removeManifest(context);
  },
};

/** fsync, then the final name. What is not whole by then is no snapshot. */
async function completeMemory(context: SnapshotContext): Promise<void> {
  const path = memoryFile(context);
  try {
    if (!(await context.files.owns(path))) {
      const file = await open(context.files.hidden(path), constants.O_RDWR);
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    }
    await context.files.publish(path);
  } catch (error) {
    throw fileFailure(error, `cannot complete ${path}`, "MemorySaveFailed");
  }
}

/** QEMU as it was. One that has gone by now took its settings with it, and took nothing from the snapshot. */
async function leaveGuest(context: SnapshotContext): Promise<void> {
  try {
    await overNewLink(context, async () => {
      if (context.hasMemory) await restoreSettings(context);
      context.isMarked = false;
      await removeMark(context.guest, context.mark);
    });
  } catch (error) {
    const failure = Failure.from(error);
    context.log.error({ err: failure }, "QEMU's settings were not put back");
    if (failure.reason === "GuestLost") return;
    context.verdict ??= new Failure(
      "InternalError",
      `memory, overlays and manifest are whole and kept, but QEMU's migration settings were not put back: ${failure.message}`,
    );
  }
}
