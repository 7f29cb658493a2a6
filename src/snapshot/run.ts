// A snapshot from begin to end. libvirt's five steps, in the order of the capture mode's table (capture-modes.ts):
//
//   1. memory    save-memory   live: the guest runs until memory is saved, then stands still; paused: stopped first (pause)
//   2. disks     switch-disks  every external disk in one transaction; announce tells whoever starts the guest next
//   3. success   hold          reported as ManualStoragePending, with the guest paused
//   4. storage   hold          its owner cuts the manual disks, while deadline and guest are watched
//   5. resume    resume        on the owner's word; finish makes everything durable
//
// Before them: prepare refuses what can be refused, createOverlays and prepareMemory do what needs no pause.

import { Guest } from "../qemu/guest.ts";
import type { Clock } from "../runtime/clock.ts";
import { Failure, isFailureReason } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { stepsOf } from "./capture-modes.ts";
import { SnapshotContext } from "./context.ts";
import { DomainLock } from "./domain-lock.ts";
import type { HoldControl, SnapshotJob, SnapshotReport } from "./job.ts";
import { Journal } from "./journal.ts";
import { rollback } from "./rollback.ts";
import type { Step } from "./step.ts";

export type { HoldControl, NodeDomain, SnapshotJob, SnapshotReport } from "./job.ts";

export interface RunOptions {
  /** An open session to the guest; opened (and closed) here if missing. */
  readonly guest?: Guest;
  readonly control: HoldControl;
  readonly journalDirectory: string;
  /** Shared by everything on this node that takes snapshots. */
  readonly lockDirectory: string;
  /** Called with a copy of the report whenever it has changed. */
  readonly onReport: (report: SnapshotReport) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** The process is leaving: like an abort. */
  readonly signal: AbortSignal;
}

/** Carries out a snapshot. Never throws for a snapshot that fails: the last report says Completed or Failed. */
export async function runSnapshot(job: SnapshotJob, options: RunOptions): Promise<SnapshotReport> {
  const { clock, log, onReport } = options;
  let guest: Guest;
  try {
    guest =
      options.guest ?? (await Guest.open({ monitorPath: job.domain.monitorPath, clock, log, signal: options.signal }));
  } catch (error) {
    return refusedReport(options, Failure.from(error, "MonitorUnavailable"));
  }
  const context = new SnapshotContext({ job, guest, control: options.control, clock, log, onReport });
  const opened = options.guest === undefined ? guest : undefined;
  try {
    const { uuid } = await guest.identity();
    await using _lock = await DomainLock.acquire({
      directory: options.lockDirectory,
      uuid,
      purpose: `${job.namespace}/${job.name}`,
    });
    await using journal = await Journal.create({ directory: options.journalDirectory, uid: job.uid, clock });
    await journal.append("begin", undefined, { job });
    const clean = await runSteps(context, journal, options.signal);
    // What is left undone stays in the journal, for whoever clears it up.
    if (clean) await journal.remove().catch((error: unknown) => log.error({ err: error }, "cannot remove the journal"));
  } catch (error) {
    fail(context, Failure.from(error));
  } finally {
    await opened?.[Symbol.asyncDispose]();
    // A session that had to be made anew during the hold is ours as well.
    if (context.guest !== guest) await context.guest[Symbol.asyncDispose]();
  }
  return context.report;
}

/** True if nothing is left to be done by anybody. */
async function runSteps(context: SnapshotContext, journal: Journal, leaving: AbortSignal): Promise<boolean> {
  const begun: Step[] = [];
  using aborting = abortSignal(context, leaving);
  try {
    for (const step of stepsOf(context.job.plan.capture)) {
      if (step.applies?.(context) === false) continue;
      if (step.name === "resume") aborting.release();
      if (!aborting.released) aborting.signal.throwIfAborted();
      context.report.step = step.name;
      if (step.phase !== undefined && step.phase !== context.report.phase) context.update({ phase: step.phase });
      await journal.append("intent", step.name);
      begun.push(step);
      await step.run(context, aborting.released ? new AbortController().signal : aborting.signal);
      // The hold has ended by a word or by itself: nothing is aborted any more, what follows only completes it.
      if (step.name === "hold") aborting.release();
      await journal.append("result", step.name, step.name === "prepare" ? context.prepared : undefined);
    }
    complete(context);
    return true;
  } catch (error) {
    const failure = Failure.from(error);
    context.log.warn({ err: failure, step: context.report.step }, "the snapshot is rolled back");
    const left = context.isPrepared ? await rollback(context, begun, journal) : [];
    if (left.length === 0) forgetFiles(context);
    // A command that failed because QEMU went says less than that it went.
    fail(context, left.find((problem) => problem.reason === "GuestLost") ?? failure, left);
    return left.length === 0;
  }
}

interface AbortWatch extends Disposable {
  readonly signal: AbortSignal;
  readonly released: boolean;
  /** From here on nothing aborts. */
  release(): void;
}

/** Aborted when the request is, or when this process leaves. */
function abortSignal(context: SnapshotContext, leaving: AbortSignal): AbortWatch {
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
  const leave = () => abort.abort(new Failure("Aborted", "the program that held the guest was told to stop"));
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
  for (const disk of report.disks ?? []) delete disk.overlay;
}

function complete(context: SnapshotContext): void {
  const { verdict } = context;
  if (verdict !== undefined) {
    fail(context, verdict);
    return;
  }
  context.stamp("completedAt");
  delete context.report.step;
  context.update({ phase: "Completed", pause: pauseFigures(context) });
}

function fail(context: SnapshotContext, failure: Failure, left: readonly Failure[] = []): void {
  const { report } = context;
  context.stamp("completedAt");
  const others = left.filter((problem) => problem.reason !== failure.reason);
  const remains =
    others.length === 0 ? "" : ` The rollback is not complete: ${others.map((problem) => problem.message).join("; ")}`;
  const reason = isFailureReason(failure.reason) ? failure.reason : "InternalError";
  const error = {
    reason,
    message: `${failure.message}${remains}`.slice(0, 4096),
    ...(report.step !== undefined && { step: report.step }),
  };
  delete report.step;
  context.update({ phase: "Failed", error, ...(report.pausedAt !== undefined && { pause: pauseFigures(context) }) });
}

/** What the guest felt; empty for a guest that was paused before. */
function pauseFigures(context: SnapshotContext): NonNullable<SnapshotReport["pause"]> {
  const parts = {
    totalMilliseconds: context.between("pausedAt", "resumedAt"),
    beforeHoldMilliseconds:
      context.between("pausedAt", "manualStoragePendingAt") ?? context.between("pausedAt", "releaseSeenAt"),
    holdMilliseconds: context.between("manualStoragePendingAt", "releaseSeenAt"),
    resumeMilliseconds: context.between("releaseSeenAt", "resumedAt"),
  };
  const figures: NonNullable<SnapshotReport["pause"]> = {};
  for (const [name, value] of Object.entries(parts)) if (value !== undefined) Object.assign(figures, { [name]: value });
  return figures;
}

function refusedReport(options: RunOptions, failure: Failure): SnapshotReport {
  const reason = isFailureReason(failure.reason) ? failure.reason : "MonitorUnavailable";
  const report: SnapshotReport = { phase: "Failed", error: { reason, message: failure.message, step: "connect" } };
  options.onReport(report);
  return report;
}
