// The promise of every rollback: a guest that ran before runs again, one that was paused stays paused, and usable.

import { activateNodes } from "../qemu/overlay.ts";
import type { SnapshotContext } from "./context.ts";

/** Lets a guest that ran before run again, confirmed. Safe to repeat; throws if the guest cannot be reached or resumed. */
export async function ensureRunState(context: SnapshotContext): Promise<void> {
  context.standstill.end();
  if (!context.prepared.ranBefore) return await settlePaused(context);
  if ((await context.guest.runState()) === "running") {
    // A guest that was never stopped, or that somebody else resumed.
    if (context.report.pausedAt !== undefined) context.ranSinceSwitch = true;
    return;
  }
  context.ranSinceSwitch = true;
  const { at } = await context.guest.cont();
  context.stamp("resumedAt", at);
}

/**
 * A guest that was paused before is left in `postmigrate` by a save, with inactive images and unable to be saved again.
 * QEMU 10.0 can activate the images; older ones need a `cont` with a `stop` right behind it (about a millisecond).
 */
export async function settlePaused(context: SnapshotContext): Promise<void> {
  const { guest } = context;
  if ((await guest.runState()) !== "postmigrate") return;
  if (guest.isAtLeast(10, 0)) return await activateNodes(guest);
  await guest.contAndStop();
}
