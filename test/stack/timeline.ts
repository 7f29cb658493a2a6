// The pause as people read it: drawn from a DomainSnapshot's status.

import type { DomainSnapshotStatus } from "../../src/api/v1alpha1/domain-snapshot.ts";

/** One line per moment with its distance from the stop, then the pause in its three parts. */
export function timelineLines(status: DomainSnapshotStatus): string[] {
  const origin = Date.parse(status.pausedAt ?? status.startedAt ?? "");
  const moments = [
    ["started", status.startedAt],
    ["guest paused", status.pausedAt],
    ["memory saved", status.memorySavedAt],
    ["disks switched", status.disksSwitchedAt],
    ["hold begins", status.manualStoragePendingAt],
    ["resume requested", status.resumeRequestedAt],
    ["guest runs", status.resumedAt],
    ["completed", status.completedAt],
  ] as const;
  const lines = moments.flatMap(([label, at]) =>
    at === undefined ? [] : [`  ${label.padEnd(18)} ${at.slice(11, 26)}  ${signed(Date.parse(at) - origin)}`],
  );
  const { pause } = status;
  if (pause !== undefined) {
    lines.push(
      `  pause ${ms(pause.totalMilliseconds)} = before hold ${ms(pause.beforeHoldMilliseconds)} + hold ${ms(pause.holdMilliseconds)} + resume ${ms(pause.resumeMilliseconds)}`,
    );
  }
  return lines;
}

function signed(milliseconds: number): string {
  return `${milliseconds < 0 ? "" : "+"}${milliseconds} ms`;
}

function ms(value: number | undefined): string {
  return value === undefined ? "?" : `${value.toFixed(1)} ms`;
}
