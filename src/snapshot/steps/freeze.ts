// The guest's own agent freezes its file systems: only while the guest runs, and thawed only after it runs again.

import { GuestAgent } from "../../qemu/guest-agent.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";

const thawTries = 6;
const betweenTriesMilliseconds = 5000;
const clockMilliseconds = 2000;

export const freeze: Step = {
  name: "freeze",
  phase: "Preparing",
  applies: (context) => context.job.plan.quiesce !== "Never",
  async run(context, signal) {
    try {
      await freezeNow(context, signal);
      context.update({ quiesced: true });
    } catch (error) {
      signal.throwIfAborted();
      const failure = Failure.from(error, "QuiesceFailed");
      if (context.job.plan.quiesce === "Required") throw failure;
      context.log.warn({ err: failure }, "the guest is not quiesced");
      context.update({ quiesced: false, quiesceMessage: failure.message });
    }
  },
  // No undo of its own: every rollback thaws as soon as the guest runs again.
};

/** After the resume: thawed, and its clock set, which stood still as long as the guest did. */
export const wake: Step = {
  name: "wake",
  applies: (context) => context.job.domain.guestAgentPath !== undefined && context.prepared.ranBefore,
  async run(context) {
    try {
      await thaw(context);
    } catch (error) {
      const { message } = Failure.from(error, "QuiesceFailed");
      context.verdict ??= new Failure(
        "QuiesceFailed",
        `${message}. THE GUEST'S FILE SYSTEMS MAY STILL BE FROZEN: thaw them (guest-fsfreeze-thaw, or fsfreeze -u in the guest). What was captured is whole and kept`,
      );
    }
    // Who did not answer before will not now.
    if (context.report.quiesced !== false) await setClock(context);
  },
};

async function freezeNow(context: SnapshotContext, signal: AbortSignal): Promise<void> {
  const { guestAgentPath } = context.job.domain;
  if (guestAgentPath === undefined) {
    throw new Failure("QuiesceFailed", "quiesce: no guest agent is configured for this domain (guestAgent); use Never");
  }
  if (!context.prepared.ranBefore) {
    throw new Failure(
      "QuiesceFailed",
      "quiesce: the guest is paused and cannot freeze itself; resume it, or use Never",
    );
  }
  using agent = await GuestAgent.connect(guestAgentPath, signal);
  const count = await agent.freeze(signal);
  context.log.info({ fileSystems: count }, "the guest's file systems are frozen");
}

/** A freeze that was given up may still happen: whoever asked for one thaws, in any case. */
export async function thaw(context: SnapshotContext): Promise<void> {
  const { guestAgentPath } = context.job.domain;
  if (guestAgentPath === undefined || !context.begun.has(freeze.name)) return;
  // Nobody was there to freeze anything: one try does.
  const tries = context.report.quiesced === false ? 1 : thawTries;
  for (let attempt = 1; ; attempt += 1) {
    try {
      using agent = await GuestAgent.connect(guestAgentPath);
      await agent.thaw();
      return;
    } catch (error) {
      if (context.report.quiesced === false) return;
      if (attempt >= tries) throw error;
      context.log.warn({ err: error, attempt }, "the guest is not thawed yet; trying again");
      await context.clock.sleep(betweenTriesMilliseconds);
    }
  }
}

/** A courtesy: a guest without an agent, or one that refuses, keeps its own time. */
async function setClock(context: SnapshotContext): Promise<void> {
  const { guestAgentPath } = context.job.domain;
  if (guestAgentPath === undefined) return;
  try {
    const bound = AbortSignal.timeout(clockMilliseconds);
    using agent = await GuestAgent.connect(guestAgentPath, bound);
    await agent.setTime(context.clock.now(), bound);
  } catch (error) {
    context.log.info({ err: error }, "the guest's clock is not set");
  }
}
