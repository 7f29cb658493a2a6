// The first thing done to the guest: whoever takes this snapshot up again must find the very same QEMU process.

import { addMark, removeMark } from "../../qemu/guest-mark.ts";
import type { Step } from "../step.ts";

export const markGuest: Step = {
  name: "markGuest",
  phase: "Preparing",
  async run(context, signal) {
    await addMark(context.guest, context.mark, signal);
    context.isMarked = true;
  },
  async cleanUp(context) {
    context.isMarked = false;
    await removeMark(context.guest, context.mark);
  },
};
