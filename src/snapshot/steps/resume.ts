// Step five: the guest runs again, if it ran before. One `cont` on a warm connection; everything slow comes after.

import { Failure } from "../../runtime/failure.ts";
import { settlePaused } from "../run-state.ts";
import type { Step } from "../step.ts";

export const resume: Step = {
  name: "resume",
  phase: "Resuming",
  async run(context) {
    context.stamp("releaseSeenAt");
    if (!context.prepared.ranBefore) return await settlePaused(context);
    if (context.ranSinceSwitch) return; // somebody else resumed it
    context.ranSinceSwitch = true;
    try {
      const { at } = await context.guest.cont();
      context.stamp("resumedAt", at);
    } catch (error) {
      throw Failure.from(error, "ResumeFailed");
    }
  },
};
