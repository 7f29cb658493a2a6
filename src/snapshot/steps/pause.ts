// Step one of libvirt's five, for captures that stop the guest at once. QEMU drains and flushes every disk inside `stop`.

import type { Step } from "../step.ts";

export const pause: Step = {
  name: "pause",
  phase: "SavingMemory",
  applies: (context) => context.prepared.ranBefore,
  async run(context, signal) {
    const { at } = await context.guest.stop({ signal });
    context.standstill.begin();
    context.stamp("pausedAt", at);
    context.update({});
  },
  // No undo of its own: every rollback ends in ensureRunState.
};
