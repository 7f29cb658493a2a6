// The pause as people read it: drawn from a DomainSnapshot's status.

import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";

const barWidth = 48;

/** One line per moment with its distance from the stop, then the pause in its three parts, also drawn to scale. */
export function timelineLines(status: DomainSnapshotStatus): string[] {
  const moments = [
    ["started", status.startedAt],
    ["guest paused", status.pausedAt],
    ["memory saved", status.memorySavedAt],
    ["disks switched", status.disksSwitchedAt],
    ["hold begins", status.manualStoragePendingAt],
    ["resume requested", status.resumeRequestedAt],
    ["abort requested", status.abortRequestedAt],
    ["guest runs", status.resumedAt],
    [status.phase === "Failed" ? "rolled back" : "completed", status.completedAt],
  ] as const;
  const seen = moments.flatMap(([label, at]) => (at === undefined ? [] : [{ label, at, micros: microseconds(at) }]));
  // Background captures save the memory after the guest runs again: the order is that of the times.
  seen.sort((a, b) => a.micros - b.micros);
  const origin = microseconds(status.pausedAt ?? seen[0]?.at ?? "");
  const lines = seen.map(
    ({ label, at, micros }) => `  ${label.padEnd(18)} ${at.slice(11, 26)}  ${signed((micros - origin) / 1000)}`,
  );
  return [...lines, ...pauseLines(status.pause)];
}

function pauseLines(pause: DomainSnapshotStatus["pause"]): string[] {
  if (pause === undefined) return [];
  const { beforeHoldMilliseconds: before, holdMilliseconds: hold, resumeMilliseconds: resume } = pause;
  const total = pause.totalMilliseconds;
  const sum = `  pause ${ms(total)} = before hold ${ms(before)} + hold ${ms(hold)} + resume ${ms(resume)}`;
  if (before === undefined || hold === undefined || resume === undefined) return [sum];
  const whole = before + hold + resume;
  if (whole <= 0) return [sum];
  // Ends are rounded, not lengths, so that the parts always fill the bar.
  const first = Math.round((before / whole) * barWidth);
  const second = Math.round(((before + hold) / whole) * barWidth);
  const bar = "#".repeat(first) + "=".repeat(second - first) + ">".repeat(barWidth - second);
  return [sum, `  [${bar}]  # before hold  = hold  > resume`];
}

/** Of a MicroTime: Date.parse drops what is finer than milliseconds. */
function microseconds(at: string): number {
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? "";
  return Date.parse(`${at.slice(0, 19)}Z`) * 1000 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}

function signed(milliseconds: number): string {
  return `${milliseconds < 0 ? "" : "+"}${milliseconds.toFixed(1)} ms`;
}

function ms(value: number | undefined): string {
  return value === undefined ? "?" : `${value.toFixed(1)} ms`;
}
