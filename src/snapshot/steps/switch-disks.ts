// Step two: all external disks in one transaction, so that one failing disk changes none.

import {
  canSwitchBack,
  commitOverlay,
  deleteOverlayNodes,
  isCommitting,
  type Overlay,
  switchDisks as switchAll,
  switchBack,
} from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { forEvery } from "../every-disk.ts";
import type { Step } from "../step.ts";
import { announceBase } from "./announce.ts";

const switchBackMilliseconds = 1000;

export const switchDisks: Step = {
  name: "switchDisks",
  phase: "SwitchingDisks",
  applies: (context) => context.prepared.overlays.length > 0,
  async run(context, signal) {
    context.standstill.begin();
    context.standstill.require();
    try {
      await switchAll(context.guest, context.prepared.overlays, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw Failure.from(error, "DiskSwitchFailed");
    }
    context.standstill.require();
    context.stamp("disksSwitchedAt");
    context.update({});
  },
  /** In place while the guest stands still: milliseconds. What cannot be, or fails, is left to the commit. */
  async undo(context, signal) {
    if ((await context.guest.runState()) === "running") context.ranSinceSwitch = true;
    const ran = new AbortController();
    context.standstill.onBroken(() => ran.abort(new Failure("HoldLost", "somebody else resumed the guest")));
    const bounded = AbortSignal.any([signal, ran.signal, AbortSignal.timeout(switchBackMilliseconds)]);
    for (const overlay of await switched(context)) {
      if (context.ranSinceSwitch) return;
      if (!canSwitchBack(overlay.disk)) continue;
      try {
        await switchBack(context.guest, overlay, bounded);
        await deleteOverlayNodes(context.guest, overlay, bounded);
      } catch (error) {
        context.log.warn({ err: error, disk: overlay.disk.name }, "cannot switch back in place; it will be committed");
      }
    }
  },
  async cleanUp(context) {
    const inUse = await switched(context);
    await forEvery(context.prepared.overlays, "DiskSwitchFailed", async (overlay) => {
      if (inUse.includes(overlay)) await commitOverlay(context.guest, overlay);
      await announceBase(context, overlay);
    });
  },
};

/** The overlays that something uses: the block graph knows, whatever became of the reply to the transaction. */
async function switched(context: SnapshotContext): Promise<Overlay[]> {
  const { guest, prepared } = context;
  const graph = await guest.blockGraph();
  const inUse: Overlay[] = [];
  for (const overlay of prepared.overlays) {
    if (graph.parents(overlay.node).length > 0 || (await isCommitting(guest, overlay))) inUse.push(overlay);
  }
  return inUse;
}
