// Runs the steps of a snapshot in order, each behind its intent in the journal, and decides how it ends.

import { Failure, userReason } from "../runtime/failure.ts";
import { stepsOf } from "./capture-modes.ts";
import type { SnapshotContext } from "./context.ts";
import type { SnapshotReport } from "./job.ts";
import { pauseFigures } from "./pause-figures.ts";
import type { Ending, StepResult } from "./recollection.ts";
import { rollback } from "./rollback.ts";
import { hold } from "./steps/hold.ts";
import { resume } from "./steps/resume.ts";

/** What happens to a hold when this process is told to leave. */
export type OnLeave = "Abort" | "KeepHold";

/** A signal's reason, not a failure: the hold is left as it is, for the process that comes next. */
const handedOver = new Failure("HandedOver", "the hold is left to the next process");

/**
 * Runs the steps from `from` on; a failure rolls back everything begun. The outcome is in the journal before it is
 * reported. A hold that is handed over stays as it is, with its journal.
 */
export async function carryOut(
  context: SnapshotContext,
  options: { leaving: AbortSignal; onLeave: OnLeave; from?: string },
): Promise<void> {
  const { journal, begun, job } = context;
  const steps = stepsOf(job.plan.capture);
  const first = options.from === undefined ? 0 : steps.findIndex((step) => step.name === options.from);
  using aborting = abortSignal(context, options);
  try {
    for (const step of steps.slice(first)) {
      if (step.applies?.(context) === false) continue;
      // The hold has ended by a word or by itself: nothing is aborted any more, what follows only completes it.
      if (step.name === resume.name) aborting.release();
      else if (!aborting.released) aborting.signal.throwIfAborted();
      context.report.step = step.name;
      if (step.phase !== undefined && step.phase !== context.report.phase) context.update({ phase: step.phase });
      if (!begun.has(step.name)) {
        const facts = await step.intend?.(context);
        await noted(aborting, context, journal.append("intent", step.name, facts));
        begun.add(step.name);
      }
      await step.run(context, aborting.released ? new AbortController().signal : aborting.signal);
      if (step.name === hold.name) aborting.release();
      const result: StepResult = { report: context.report, outcome: step.outcome?.(context) };
      await noted(aborting, context, journal.append("result", step.name, result));
    }
  } catch (error) {
    if (error === handedOver) return;
    const failure = Failure.from(error);
    context.log.warn({ err: failure, step: context.report.step }, "the snapshot is rolled back");
    const { reason, message } = failure;
    await journal.append("fail", context.report.step, { reason, message, report: context.report }).catch(() => {});
    return await takeBack(context, failure);
  }
  if (context.verdict === undefined) await complete(context);
  else await fail(context, context.verdict);
}

/** Rolls everything back that was begun and ends the snapshot with the failure. */
export async function takeBack(context: SnapshotContext, failure: Failure): Promise<void> {
  const knownLost = failure.reason === "GuestLost" ? failure : undefined;
  const left = context.isPrepared ? await rollback(context, knownLost) : [];
  const lost = left.find((problem) => problem.reason === "GuestLost");
  if (left.length === 0) forgetFiles(context);
  // A command that failed because QEMU went says less than that it went.
  await fail(context, lost ?? failure, left);
}

/** After the release a journal that cannot be written stops nothing: without its notes the next process sees a late hold. */
async function noted(aborting: AbortWatch, context: SnapshotContext, written: Promise<void>): Promise<void> {
  if (!aborting.released) return await written;
  await written.catch((error: unknown) => context.log.error({ err: error }, "the journal cannot be written"));
}

interface AbortWatch extends Disposable {
  readonly signal: AbortSignal;
  readonly released: boolean;
  /** From here on nothing aborts. */
  release(): void;
}

/** Aborted when the request is, or when this process leaves. */
function abortSignal(context: SnapshotContext, options: { leaving: AbortSignal; onLeave: OnLeave }): AbortWatch {
  const { leaving, onLeave } = options;
  const abort = new AbortController();
  const stop = new AbortController();
  const watch = async () => {
    // Decided once: after a release there is nothing to watch for.
    while (!stop.signal.aborted && context.control.desired() !== "Released") {
      if (context.control.desired() === "Aborted") {
        abort.abort(new Failure("Aborted", "abort was requested"));
        return;
      }
      await context.control.wait(stop.signal);
    }
  };
  watch().catch(() => undefined);
  const leave = () => {
    const keep = onLeave === "KeepHold" && context.report.phase === "ManualStoragePending";
    abort.abort(keep ? handedOver : new Failure("Aborted", "the program that held the guest was told to stop"));
  };
  if (leaving.aborted) leave();
  leaving.addEventListener("abort", leave, { once: true });
  const release = () => {
    stop.abort();
    leaving.removeEventListener("abort", leave);
  };
  return {
    signal: abort.signal,
    get released() {
      return stop.signal.aborted;
    },
    release,
    [Symbol.dispose]: release,
  };
}

/** What was rolled back is not there any more; what was refused never was. */
function forgetFiles(context: SnapshotContext): void {
  const { report } = context;
  delete report.memory;
  delete report.manifest;
  for (const disk of report.disks ?? []) delete disk.overlay;
}

async function complete(context: SnapshotContext): Promise<void> {
  context.stamp("completedAt");
  delete context.report.step;
  await end(context, { phase: "Completed", pause: pauseFigures(context) }, []);
}

/** Ends as Failed; `left` is what the rollback could not take back. */
export async function fail(context: SnapshotContext, failure: Failure, left: readonly Failure[] = []): Promise<void> {
  const { report } = context;
  context.stamp("completedAt");
  const others = left.filter((problem) => problem.reason !== failure.reason).map((problem) => problem.message);
  const remains = others.length === 0 ? "" : `. The rollback is not complete: ${others.join("; ")}`;
  const error = {
    reason: userReason(failure),
    message: `${failure.message}${remains}`.slice(0, 4096),
    ...(report.step !== undefined && { step: report.step }),
  };
  delete report.step;
  const pause = report.pausedAt === undefined ? {} : { pause: pauseFigures(context) };
  await end(context, { phase: "Failed", error, ...pause }, left);
}

async function end(
  context: SnapshotContext,
  outcome: Partial<SnapshotReport>,
  left: readonly Failure[],
): Promise<void> {
  // With its guest gone nothing is left that a later rollback could do.
  const lost = left.some((problem) => problem.reason === "GuestLost");
  const ending: Ending = {
    report: { ...context.report, ...outcome },
    left: lost ? [] : left.map((problem) => problem.message),
  };
  await context.journal
    .append("end", undefined, ending)
    .catch((error: unknown) => context.log.error({ err: error }, "the journal cannot be written"));
  context.update(outcome);
}
