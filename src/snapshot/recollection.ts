// What a journal says of a snapshot that another process began: how far it came, what it made, what it was about to do.

import { Failure } from "../runtime/failure.ts";
import type { HoldBegan, Prepared } from "./context.ts";
import type { SnapshotJob, SnapshotReport } from "./job.ts";
import { type JournalEntry, journalVersion } from "./journal.ts";
import type { OwnFile } from "./own-files.ts";
import type { HoldBound } from "./plan.ts";

/** What a journal's first line holds. */
export interface Beginning {
  readonly version: number;
  readonly bootId: string;
  readonly job: SnapshotJob;
}

/** What its last line holds, once the snapshot has ended. */
export interface Ending {
  readonly report: SnapshotReport;
  /** What the rollback could not take back and a later one may. */
  readonly left: readonly string[];
}

interface FailureNote {
  readonly reason: string;
  readonly message: string;
}

export interface Recollection {
  readonly job: SnapshotJob;
  readonly bootId: string;
  /** Steps whose intent is there, in order. */
  readonly begun: readonly string[];
  readonly done: ReadonlySet<string>;
  readonly prepared: Prepared | undefined;
  readonly holdBegan: HoldBegan | undefined;
  /** The hold's bound as it was last known. */
  readonly bound: HoldBound;
  /** The hold ended, but not well. */
  readonly verdict: Failure | undefined;
  readonly files: readonly OwnFile[];
  readonly report: SnapshotReport | undefined;
  /** The failure that a rollback was begun for. */
  readonly failure: Failure | undefined;
  readonly isMarked: boolean;
  readonly ending: Ending | undefined;
}

/** Undefined for a journal whose first line is torn or was never written: nothing was done. Throws Failure for a layout of another version. */
export function recollect(entries: readonly JournalEntry[]): Recollection | undefined {
  const [first] = entries;
  if (first?.event !== "begin") return undefined;
  const beginning = data<Beginning>(first);
  if (beginning?.version !== journalVersion) {
    throw new Failure(
      "AgentLost",
      `the journal has layout ${beginning?.version}, this program knows ${journalVersion}`,
    );
  }
  const of = (event: JournalEntry["event"], step?: string) =>
    entries.findLast((entry) => entry.event === event && (step === undefined || entry.step === step));
  const result = <T>(step: string) => data<StepResult>(of("result", step))?.outcome as T | undefined;
  const begun = entries.filter((entry) => entry.event === "intent").map((entry) => entry.step ?? "");
  const done = new Set(entries.filter((entry) => entry.event === "result").map((entry) => entry.step ?? ""));
  return {
    job: beginning.job,
    bootId: beginning.bootId,
    begun,
    done,
    prepared: result<Prepared>("prepare"),
    holdBegan: data<HoldBegan>(of("intent", "hold")),
    bound: data<HoldBound>(of("bound")) ?? beginning.job.plan.hold,
    verdict: failure(result<FailureNote>("hold")),
    files: entries.filter((entry) => entry.event === "file").flatMap((entry) => data<OwnFile>(entry) ?? []),
    report: data<{ report?: SnapshotReport }>(
      entries.findLast((entry) => data<{ report?: SnapshotReport }>(entry)?.report !== undefined),
    )?.report,
    failure: failure(data<FailureNote>(of("fail"))),
    // Taken away at the very end of either way out.
    isMarked: done.has("markGuest") && !begun.includes("finish") && of("undo", "markGuest clean-up") === undefined,
    ending: data<Ending>(of("end")),
  };
}

/** The data of a step's result. */
export interface StepResult {
  readonly report: SnapshotReport;
  readonly outcome?: object | undefined;
}

/** The one place where a journal's text becomes typed: the directory is this program's alone, and the layout versioned. */
function data<T>(entry: JournalEntry | undefined): T | undefined {
  return entry?.data as T | undefined;
}

function failure(note: FailureNote | undefined): Failure | undefined {
  return note === undefined ? undefined : new Failure(note.reason, note.message);
}
