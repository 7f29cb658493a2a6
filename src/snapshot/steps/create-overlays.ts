// The overlays are made and added while the guest still runs: in the pause only the switch is left.

import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { createOverlay, deleteOverlayNodes } from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { syncDirectory } from "../journal.ts";
import { requireMissing } from "../paths.ts";
import type { Step } from "../step.ts";

export const createOverlays: Step = {
  name: "createOverlays",
  phase: "Preparing",
  applies: (context) => context.prepared.overlays.length > 0,
  async run(context, signal) {
    for (const overlay of context.prepared.overlays) {
      await createEmpty(`disks[${overlay.disk.name}].source.file`, overlay.path);
      context.createdFiles.add(overlay.path);
      await createOverlay(context.guest, overlay, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw Failure.from(error, "DiskSwitchFailed");
      });
    }
  },
  async cleanUp(context) {
    for (const overlay of context.prepared.overlays.toReversed()) {
      if (!context.createdFiles.has(overlay.path)) continue;
      await deleteOverlayNodes(context.guest, overlay);
      await unlinkUnused(context, overlay.path);
    }
  },
};

/** Creates the file itself: QEMU's blockdev-create would truncate one that appeared meanwhile. */
async function createEmpty(field: string, path: string): Promise<void> {
  await requireMissing(field, path);
  const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  await file.close();
}

/** An overlay goes only when nothing failed that might leave it in use and no block graph names it. */
async function unlinkUnused(context: SnapshotContext, path: string): Promise<void> {
  if (context.unlinkForbidden !== undefined) {
    context.log.warn({ path, because: context.unlinkForbidden }, "an overlay is left in place");
    return;
  }
  const graph = await context.guest.blockGraph();
  if (graph.names.some((name) => graph.node(name)?.file === path)) {
    context.forbidUnlink(`${path} is still in the guest's block graph`);
    return;
  }
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}
