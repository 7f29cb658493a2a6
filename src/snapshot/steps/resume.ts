// Step five: the guest runs again, if it ran before. One `cont` on a warm connection; everything slow comes after.

import { Failure } from "../../runtime/failure.ts";
import { overNewLink } from "../reconnect.ts";
import { settlePaused } from "../run-state.ts";
import type { Step } from "../step.ts";

export const resume: Step = {
  name: "resume",
  phase: "Resuming",
  async run(context) {
    context.stamp("releaseSeenAt");
    context.standstill.end();
    try {
      await overNewLink(context, async () => {
        if (!context.prepared.ranBefore) return await settlePaused(context);
        context.ranSinceSwitch = true;
        // Harmless if somebody else, another process of ours, or a session that broke has sent it already.
        const { at } = await context.guest.cont();
        context.stamp("resumedAt", at);
      });
    } catch (error) {
      throw Failure.from(error, "ResumeFailed");
    }
  },
};
