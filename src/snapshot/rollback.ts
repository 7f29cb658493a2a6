// Takes a snapshot back: what must precede the guest's running, then the guest, then everything that can wait.

import { Failure } from "../runtime/failure.ts";
import { stepsOf } from "./capture-modes.ts";
import type { SnapshotContext } from "./context.ts";
import { reconnect } from "./reconnect.ts";
import { ensureRunState } from "./run-state.ts";
import { createOverlays } from "./steps/create-overlays.ts";
import { thaw } from "./steps/freeze.ts";
import { switchDisks } from "./steps/switch-disks.ts";

/** What stands between a held guest and its `cont` gets no longer than this. */
const undoMilliseconds = 2000;
const noteMilliseconds = 1000;

/**
 * Undoes the steps whose intent is in the journal, in reverse; safe to repeat. A failing undo never keeps the guest from
 * running, but forbids every unlink of an overlay after it. Resolves with what could not be taken back; an empty list is
 * a clean rollback. `knownLost` says that the guest is gone.
 */
export async function rollback(context: SnapshotContext, knownLost?: Failure): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  const attempt = async (what: string, work: () => Promise<void>) => {
    await note(context, "undo", what);
    try {
      await work();
      await note(context, "undone", what);
    } catch (error) {
      const failure = Failure.from(error);
      failures.push(failure);
      context.forbidUnlink(`${what} failed: ${failure.message}`);
      context.log.error({ err: failure, what }, "a rollback step failed");
    }
  };
  // What answers on the monitor of a lost guest is another one: not a command may reach it.
  const lost = knownLost ?? (await unreachable(context));
  if (lost !== undefined) {
    context.log.error({ err: lost }, "the guest is lost");
    await attempt("files of a lost guest", async () => await sortFiles(context));
    return [lost, ...failures];
  }
  const reversed = stepsOf(context.job.plan.capture)
    .filter((step) => context.begun.has(step.name))
    .toReversed();
  for (const step of reversed) {
    if (step.undo === undefined) continue;
    await attempt(step.name, async () => {
      const inTime = await bounded(context, async (signal) => await step.undo?.(context, signal));
      if (inTime) return;
      if (step.cleanUp === undefined) throw new Failure("PauseTimeout", "it was not undone in time");
      context.log.warn({ step: step.name }, "not undone in time; the guest does not wait for it");
    });
  }
  await attempt("ensureRunState", async () => await ensureRunState(context));
  await attempt("thaw", async () => await thaw(context));
  for (const step of reversed) {
    if (step.cleanUp !== undefined) await attempt(`${step.name} clean-up`, async () => await step.cleanUp?.(context));
  }
  return failures;
}

/** A journal on a full or hanging disk must not keep the guest from running: undoing is safe to repeat without its notes. */
async function note(context: SnapshotContext, event: "undo" | "undone", what: string): Promise<void> {
  const { journal, clock, log } = context;
  const written = journal.append(event, what).catch((error: unknown) => log.error({ err: error }, "no note was made"));
  const over = new AbortController();
  await Promise.race([written, clock.sleep(noteMilliseconds, over.signal).catch(() => undefined)]);
  over.abort();
}

/** False if the work was not done within the bound; it sends nothing more then. */
async function bounded(context: SnapshotContext, work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  const limit = new AbortController();
  const over = new AbortController();
  const late = context.clock.sleep(undoMilliseconds, over.signal).then(
    () => false,
    () => true,
  );
  try {
    const done = work(limit.signal).then(() => true);
    // What it says after it was given up is of no use to anybody.
    done.catch(() => undefined);
    return await Promise.race([done, late]);
  } finally {
    limit.abort(new Failure("PauseTimeout", `not undone within ${undoMilliseconds / 1000} s`));
    over.abort();
  }
}

/** Makes sure of a session to the guest; the failure if it is gone. */
async function unreachable(context: SnapshotContext): Promise<Failure | undefined> {
  try {
    await context.guest.runState();
    return undefined;
  } catch {
    return await reconnect(context).then(
      () => undefined,
      (error: unknown) => Failure.from(error, "GuestLost"),
    );
  }
}

/**
 * Nobody knows what QEMU did last with the images it was given: once the switch was sent they stay. Memory that is whole
 * belongs to them, and may be all that is left of the guest; what never was whole goes.
 */
async function sortFiles(context: SnapshotContext): Promise<void> {
  const { begun, files, prepared, report } = context;
  const switchSent = begun.has(switchDisks.name);
  if (!switchSent) {
    if (begun.has(createOverlays.name)) for (const overlay of prepared.overlays) await files.remove(overlay.path);
    for (const disk of report.disks ?? []) delete disk.overlay;
  }
  if (prepared.memoryFile === undefined) return;
  const isWhole = report.memorySavedAt !== undefined && (switchSent || prepared.overlays.length === 0);
  if (isWhole) return await files.publish(prepared.memoryFile);
  await files.remove(prepared.memoryFile);
  delete report.memory;
}
