// How a local snapshot ended, for programs: one JSON object and an exit code.

import { resolve } from "node:path";
import type { Failure } from "../runtime/failure.ts";
import type { SnapshotReport } from "../snapshot/job.ts";
import { exitCodes } from "./exit-codes.ts";

/** An abort that the command's failure led to says so. */
export function withHookFailure(report: SnapshotReport, failure: string | undefined): SnapshotReport {
  if (failure === undefined || report.error?.reason !== "Aborted") return report;
  return {
    ...report,
    error: { ...report.error, reason: "HookFailed", message: `--on-hold: ${failure}; everything was rolled back` },
  };
}

/** The `--json` object: absolute paths, null for what there is not. */
export function resultOf(report: SnapshotReport, directory: string): object {
  const absolute = (file: string | undefined) => (file === undefined ? undefined : resolve(directory, file));
  return {
    phase: report.phase,
    reason: report.error?.reason ?? null,
    ...(report.error !== undefined && { message: report.error.message }),
    pause: report.pause ?? null,
    memory: { file: absolute(report.memory?.file) ?? null },
    disks: (report.disks ?? []).map((disk) => ({
      name: disk.name,
      snapshot: disk.snapshot,
      overlay: absolute(disk.overlay) ?? null,
    })),
    manifest: absolute(report.manifest) ?? null,
  };
}

/** The `--json` object of what was refused before anything was touched. */
export function refusalOf(failure: Failure): object {
  const nothing = { pause: null, memory: { file: null }, disks: [], manifest: null };
  return { phase: "Failed", reason: failure.reason, message: failure.message, ...nothing };
}

/** Refused before anything was touched is bad input, like a manifest that does not parse; what fails later is Failed. */
export function exitCodeOf(report: SnapshotReport): number {
  const { phase, error } = report;
  if (phase === "Completed") return exitCodes.completed;
  const touched = report.pausedAt !== undefined || !["connect", "prepare", undefined].includes(error?.step);
  return touched || error?.reason === "Aborted" ? exitCodes.failed : exitCodes.badInput;
}
