// Step two: all external disks in one transaction, so that one failing disk changes none.

import {
  canSwitchBack,
  commitOverlay,
  deleteOverlayNodes,
  type Overlay,
  switchDisks as switchAll,
  switchBack,
} from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";

export const switchDisks: Step = {
  name: "switchDisks",
  phase: "SwitchingDisks",
  applies: (context) => context.prepared.overlays.length > 0,
  async run(context, signal) {
    try {
      await switchAll(context.guest, context.prepared.overlays, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw Failure.from(error, "DiskSwitchFailed");
    }
    context.stamp("disksSwitchedAt");
    context.update({});
  },
  /** In place while the guest stands still: milliseconds. What cannot be is left to the commit. */
  async undo(context) {
    if (context.ranSinceSwitch) return;
    for (const overlay of await switched(context)) {
      if (!canSwitchBack(overlay.disk)) continue;
      await switchBack(context.guest, overlay);
      await deleteOverlayNodes(context.guest, overlay);
    }
  },
  async cleanUp(context) {
    for (const overlay of await switched(context)) {
      await commitOverlay(context.guest, overlay);
      await deleteOverlayNodes(context.guest, overlay);
    }
  },
};

/** The overlays that something uses: the block graph knows, whatever became of the reply to the transaction. */
async function switched(context: SnapshotContext): Promise<Overlay[]> {
  const graph = await context.guest.blockGraph();
  return context.prepared.overlays.filter((overlay) => graph.parents(overlay.node).length > 0);
}
