// The overlays are made and added while the guest still runs: in the pause only the switch is left.

import { createOverlay, deleteOverlayNodes, type Overlay } from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { forEvery } from "../every-disk.ts";
import type { Step } from "../step.ts";

export const createOverlays: Step = {
  name: "createOverlays",
  phase: "Preparing",
  applies: (context) => context.prepared.overlays.length > 0,
  async run(context, signal) {
    for (const overlay of context.prepared.overlays) {
      // Our own exclusive creation: QEMU's blockdev-create would truncate a file that appeared meanwhile.
      await context.files.create("overlay", overlay.path);
      await context.files.publish(overlay.path);
      await createOverlay(context.guest, overlay, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw Failure.from(error, "DiskSwitchFailed");
      });
    }
  },
  async cleanUp(context) {
    await forEvery(context.prepared.overlays.toReversed(), "DiskSwitchFailed", async (overlay) => {
      await deleteOverlayNodes(context.guest, overlay);
      await unlinkUnused(context, overlay);
    });
  },
};

/** An overlay goes only when nothing failed that might leave it in use and no block graph names it. */
async function unlinkUnused(context: SnapshotContext, { path }: Overlay): Promise<void> {
  if (context.unlinkForbidden !== undefined) {
    context.log.warn({ path, because: context.unlinkForbidden }, "an overlay is left in place");
    return;
  }
  const graph = await context.guest.blockGraph();
  if (graph.names.some((name) => graph.node(name)?.file === path)) {
    throw new Failure("DiskSwitchFailed", `${path} is left in place: it is still in the guest's block graph`);
  }
  await context.files.remove(path);
}
