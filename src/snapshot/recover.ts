// Takes up what another process began: the same hold to the same deadline, the rest of a released one, or the rollback.

import { memoryWriterFor } from "../qemu/memory-writer.ts";
import { Failure } from "../runtime/failure.ts";
import { carryOut, takeBack } from "./carry-out.ts";
import { SnapshotContext } from "./context.ts";
import { lockDomain } from "./domain-lock.ts";
import { systemBoot } from "./hold-deadline.ts";
import type { SnapshotReport } from "./job.ts";
import { Journal, journalPath, readJournal } from "./journal.ts";
import { type Recollection, recollect } from "./recollection.ts";
import { overNewLink, reconnect, requireSameGuest } from "./reconnect.ts";
import { rollback } from "./rollback.ts";
import { guestOpener, type RunOptions } from "./run.ts";
import { finish } from "./steps/finish.ts";
import { wake } from "./steps/freeze.ts";
import { hold } from "./steps/hold.ts";
import { resume } from "./steps/resume.ts";
import { switchDisks } from "./steps/switch-disks.ts";

/**
 * Takes the snapshot `uid` up where its journal ends, and ends it or hands its hold over again. Resolves with its report;
 * undefined if nothing at all was done to guest or files. Throws Failure DomainBusy while another process works on it, and
 * AgentLost for a journal that cannot be read.
 */
export async function recoverSnapshot(uid: string, options: RunOptions): Promise<SnapshotReport | undefined> {
  const path = journalPath(options.journalDirectory, uid);
  const known = await readRecollection(path);
  if (known?.prepared === undefined) return known?.ending?.report;
  const { job, prepared, ending } = known;
  if (ending !== undefined && ending.left.length === 0) return ending.report;
  await using _lock = await lockDomain({
    directory: options.lockDirectory,
    uuid: prepared.uuid,
    purpose: `${job.namespace}/${job.name}`,
    journal: path,
  });
  const journal = await Journal.reopen({ path, clock: options.clock });
  const { boot = systemBoot } = options;
  const openGuest = guestOpener(job, options);
  const context = new SnapshotContext({ ...options, job, openGuest, boot, journal, recovered: true });
  restore(context, known);
  try {
    if (ending !== undefined) return await cleanAgain(context, ending.report);
    await carryOn(context, known, options);
    return context.report;
  } finally {
    await context.closeReplaced();
  }
}

async function readRecollection(path: string): Promise<Recollection | undefined> {
  try {
    return recollect(await readJournal(path));
  } catch (error) {
    throw Failure.from(error, "AgentLost");
  }
}

/** The context as the other process had it. */
function restore(context: SnapshotContext, known: Recollection): void {
  if (known.prepared !== undefined) context.prepared = known.prepared;
  for (const step of known.begun) context.begun.add(step);
  for (const file of known.files) context.files.recall(file);
  if (known.report !== undefined) context.recallReport(known.report);
  context.holdBegan = known.holdBegan;
  if (known.holdBegan !== undefined) context.stamp("manualStoragePendingAt", known.holdBegan.at);
  context.verdict = known.verdict;
  context.isMarked = known.isMarked;
  const last = known.begun.at(-1);
  if (last !== undefined) context.report.step = last;
}

async function carryOn(context: SnapshotContext, known: Recollection, options: RunOptions): Promise<void> {
  const { log } = context;
  const lost = await findGuest(context, known, options);
  if (lost !== undefined) return await takeBack(context, lost);
  if (context.hasMemory) context.memoryWriter = memoryWriterFor(context.guest);
  if (known.failure !== undefined) {
    log.warn({ err: known.failure }, "a rollback that was begun goes on");
    return await takeBack(context, known.failure);
  }
  const next = (await stillSwitched(context, known)) ? laterStep(known) : undefined;
  if (next === undefined) {
    const step = known.begun.at(-1);
    return await takeBack(
      context,
      new Failure("AgentLost", `the agent was ended during ${step}; everything was taken back`),
    );
  }
  log.warn({ from: next }, "a snapshot that another process began is taken up");
  await carryOut(context, { leaving: options.signal, onLeave: options.onLeave ?? "Abort", from: next });
}

/** False if a rollback was begun whose note could not be written: the disks are off their overlays. */
async function stillSwitched(context: SnapshotContext, { done }: Recollection): Promise<boolean> {
  if (!done.has(switchDisks.name)) return true;
  try {
    const graph = await context.guest.blockGraph();
    return context.prepared.overlays.every(({ node }) => graph.parents(node).length > 0);
  } catch (error) {
    // A hold is not given up because one question was not answered.
    context.log.warn({ err: error }, "cannot look at the guest's disks");
    return true;
  }
}

/**
 * From the hold on nothing is taken back because a process ended: the hold is kept, what was released is completed. The
 * step to go on with; undefined before the hold.
 */
function laterStep({ begun, done }: Recollection): string | undefined {
  const later = [hold.name, resume.name, wake.name, finish.name];
  const first = later.findIndex((step) => begun.includes(step));
  if (first < 0) return undefined;
  // A wake that does not apply was never begun, and is passed over again.
  return later.slice(first).find((step) => !done.has(step)) ?? finish.name;
}

/** Opens the session; the failure if the guest did not outlive the process that held it. */
async function findGuest(
  context: SnapshotContext,
  known: Recollection,
  options: RunOptions,
): Promise<Failure | undefined> {
  if ((await context.boot.bootId()) !== known.bootId) {
    return new Failure("GuestLost", "the host was started again; the guest that was held is gone");
  }
  try {
    await (options.guest === undefined
      ? reconnect(context, options.signal)
      : overNewLink(context, async () => await requireSameGuest(context, context.guest), options.signal));
    return undefined;
  } catch (error) {
    options.signal.throwIfAborted();
    return Failure.from(error, "GuestLost");
  }
}

/** Tries again what the rollback of an ended snapshot could not do; its outcome stays what it was. */
async function cleanAgain(context: SnapshotContext, report: SnapshotReport): Promise<SnapshotReport> {
  const left = await rollback(context);
  if (left.length === 0 || left.some((problem) => problem.reason === "GuestLost")) {
    await context.journal.append("end", undefined, { report, left: [] });
  }
  return report;
}
