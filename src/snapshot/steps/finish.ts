// After the guest runs: memory made durable under its final name, QEMU's settings put back, the manifest written.

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { removeMark } from "../../qemu/guest-mark.ts";
import { Failure, userReason } from "../../runtime/failure.ts";
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
      await removeManifest(context).catch((left: unknown) =>
        context.log.warn({ err: left }, "half a manifest is left"),
      );
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
  const chores = [
    ...(context.hasMemory ? [async () => await restoreSettings(context)] : []),
    async () => {
      context.isMarked = false;
      await removeMark(context.guest, context.mark);
    },
  ];
  for (const chore of chores) {
    // Twice: a command that fails once in a snapshot that is whole already deserves a second try.
    const failure = (await failureOf(context, chore)) && (await failureOf(context, chore));
    if (failure === undefined) continue;
    context.log.error({ err: failure }, "QEMU was not left as it was");
    if (failure.reason === "GuestLost") return;
    context.verdict ??= new Failure(
      userReason(failure),
      `memory, overlays and manifest are whole and kept, but QEMU was not left as it was: ${failure.message}`,
    );
  }
}

async function failureOf(context: SnapshotContext, chore: () => Promise<void>): Promise<Failure | undefined> {
  return await overNewLink(context, chore).then(
    () => undefined,
    (error: unknown) => Failure.from(error),
  );
}
