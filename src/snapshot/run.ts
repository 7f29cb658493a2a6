// A snapshot from begin to end. libvirt's five steps, in the order of the capture mode's table (capture-modes.ts):
//
//   1. memory    save-memory   live: the guest runs until memory is saved, then stands still; paused: stopped first (pause)
//   2. disks     switch-disks  every external disk in one transaction; announce tells whoever starts the guest next
//   3. success   hold          reported as ManualStoragePending, with the guest paused
//   4. storage   hold          its owner cuts the manual disks, while deadline and guest are watched
//   5. resume    resume        on the owner's word; finish makes everything durable
//
// Before them: prepare refuses what can be refused; markGuest, createOverlays and prepareMemory do what needs no pause.
// carry-out.ts runs them, rollback.ts takes them back, recover.ts takes up what another process began.

import { Guest } from "../qemu/guest.ts";
import type { Clock } from "../runtime/clock.ts";
import { Failure, userReason } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { carryOut, fail, type OnLeave } from "./carry-out.ts";
import { SnapshotContext } from "./context.ts";
import { lockDomain } from "./domain-lock.ts";
import { type BootClock, systemBoot } from "./hold-deadline.ts";
import type { HoldControl, SnapshotJob, SnapshotReport } from "./job.ts";
import { Journal, journalPath, journalVersion } from "./journal.ts";
import type { Beginning } from "./recollection.ts";

export type { HoldControl, NodeDomain, SnapshotJob, SnapshotReport } from "./job.ts";

export interface RunOptions {
  /** An open session to the guest; opened (and closed) here if missing. */
  readonly guest?: Guest;
  /** How a session to the guest is opened; default: over the domain's monitor. */
  readonly openGuest?: (signal?: AbortSignal) => Promise<Guest>;
  readonly control: HoldControl;
  readonly journalDirectory: string;
  /** Shared by everything on this node that takes snapshots. */
  readonly lockDirectory: string;
  /** Called with a copy of the report whenever it has changed. */
  readonly onReport: (report: SnapshotReport) => void;
  readonly clock: Clock;
  readonly boot?: BootClock;
  readonly log: Logger;
  /** The process is leaving. */
  readonly signal: AbortSignal;
  /** What becomes of a hold then; default Abort. Before the hold it is always an abort. */
  readonly onLeave?: OnLeave;
}

/**
 * Carries out a snapshot. Never throws for a snapshot that fails: the last report says Completed or Failed, or that the
 * hold was handed over. The journal stays until the caller, who knows that the outcome has arrived, closes it
 * (`settleJournal`).
 */
export async function runSnapshot(job: SnapshotJob, options: RunOptions): Promise<SnapshotReport> {
  const { clock, boot = systemBoot, signal } = options;
  const openGuest = guestOpener(job, options);
  try {
    await using sessions = new AsyncDisposableStack();
    const guest = options.guest ?? sessions.use(await openGuest(signal));
    const { uuid } = await guest.identity();
    const purpose = `${job.namespace}/${job.name}`;
    const { lockDirectory, journalDirectory } = options;
    const path = journalPath(journalDirectory, job.uid);
    await using _lock = await lockDomain({ directory: lockDirectory, uuid, purpose, journal: path });
    const journal = await Journal.create({ directory: journalDirectory, uid: job.uid, clock });
    const context = new SnapshotContext({ ...options, job, guest, openGuest, boot, journal });
    // A session that has to be made anew is ours as well.
    sessions.defer(async () => await context.closeReplaced());
    try {
      const beginning: Beginning = { version: journalVersion, bootId: await boot.bootId(), job };
      await journal.append("begin", undefined, beginning);
      await carryOut(context, { leaving: signal, onLeave: options.onLeave ?? "Abort" });
    } catch (error) {
      await fail(context, Failure.from(error));
    }
    return context.report;
  } catch (error) {
    return refusedReport(options, Failure.from(error, "MonitorUnavailable"));
  }
}

/** Sessions to the job's guest, as the options say or over its monitor. */
export function guestOpener(
  job: SnapshotJob,
  options: Pick<RunOptions, "openGuest" | "clock" | "log">,
): (signal?: AbortSignal) => Promise<Guest> {
  const { clock, log } = options;
  const { monitorPath } = job.domain;
  return (
    options.openGuest ??
    (async (signal) => await Guest.open({ monitorPath, clock, log, ...(signal !== undefined && { signal }) }))
  );
}

function refusedReport(options: RunOptions, failure: Failure): SnapshotReport {
  const reason = userReason(failure);
  const report: SnapshotReport = { phase: "Failed", error: { reason, message: failure.message, step: "connect" } };
  options.onReport(report);
  return report;
}
