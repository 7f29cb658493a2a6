// A step of a snapshot: done in order, undone in reverse.

import type { SnapshotContext } from "./context.ts";
import type { Phase } from "./job.ts";

export interface Step {
  readonly name: string;
  /** What users see while it runs; a step without one goes by unseen. */
  readonly phase?: Phase;
  /** False when this snapshot has no use for the step. */
  applies?(context: SnapshotContext): boolean;
  /** Facts that a later agent needs to take the step up; in the journal before the step runs. */
  intend?(context: SnapshotContext): Promise<object>;
  run(context: SnapshotContext, signal: AbortSignal): Promise<void>;
  /** What it found out, for the steps after it; in the journal once it has run. */
  outcome?(context: SnapshotContext): object | undefined;
  /** What must be taken back before the guest may run again; bounded by the signal, and safe to repeat. */
  undo?(context: SnapshotContext, signal: AbortSignal): Promise<void>;
  /** What can wait until the guest runs: files, nodes, settings; safe to repeat. */
  cleanUp?(context: SnapshotContext): Promise<void>;
}
