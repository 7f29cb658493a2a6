// Takes a snapshot back: what must precede the guest's running, then the guest, then everything that can wait.

import { Failure } from "../runtime/failure.ts";
import type { SnapshotContext } from "./context.ts";
import type { Journal } from "./journal.ts";
import { reconnect } from "./reconnect.ts";
import { ensureRunState } from "./run-state.ts";
import type { Step } from "./step.ts";
import { discardPartialMemory } from "./steps/prepare-memory.ts";

/**
 * Undoes the steps whose intent was journaled, in reverse. A failing undo never keeps the guest from running, but forbids
 * every unlink after it. Resolves with what could not be taken back; an empty list is a clean rollback.
 */
export async function rollback(
  context: SnapshotContext,
  begun: readonly Step[],
  journal: Journal,
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  // A journal on a full disk must not keep the guest from running: undoing is safe to repeat, so its notes may be missing.
  const note = async (event: "undo" | "undone", what: string) => {
    await journal
      .append(event, what)
      .catch((error: unknown) => context.log.error({ err: error }, "cannot write the journal"));
  };
  const attempt = async (what: string, work: () => Promise<void>) => {
    await note("undo", what);
    try {
      await work();
      await note("undone", what);
    } catch (error) {
      const failure = Failure.from(error);
      failures.push(failure);
      context.forbidUnlink(`${what} failed: ${failure.message}`);
      context.log.error({ err: failure, what }, "a rollback step failed");
    }
  };
  const lost = await unreachable(context);
  if (lost !== undefined) {
    // Nobody knows what QEMU did last with the images it was given.
    context.forbidUnlink(lost.message);
    await attempt("prepareMemory clean-up", async () => await discardPartialMemory(context));
    delete context.report.memory;
    return [lost, ...failures];
  }
  const reversed = begun.toReversed();
  for (const step of reversed)
    if (step.undo !== undefined) await attempt(step.name, async () => await step.undo?.(context));
  await attempt("ensureRunState", async () => await ensureRunState(context));
  for (const step of reversed) {
    if (step.cleanUp !== undefined) await attempt(`${step.name} clean-up`, async () => await step.cleanUp?.(context));
  }
  return failures;
}

/** Makes sure of a session to the guest; the failure if there is none to be had. */
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
