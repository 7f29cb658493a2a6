// One snapshot in full, for people: what was asked, what happened, what to do.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { explainFailure } from "./explain-error.ts";
import { formatBytes } from "./list-table.ts";
import { tableLines } from "./table.ts";
import { timelineLines } from "./timeline.ts";

/** Lines of the description; parts about which nothing is known are left out. */
export function describeSnapshot(snapshot: DomainSnapshot): string[] {
  const { metadata, spec, status = {} } = snapshot;
  const memory = status.memory;
  const facts: [string, string | undefined][] = [
    ["Name:", metadata.name],
    ["Namespace:", metadata.namespace],
    ["Domain:", spec.domainRef.name],
    ["Description:", spec.description],
    ["Capture:", spec.capture],
    ["Phase:", status.phase ?? "not seen yet by the operator"],
    ["Node:", status.nodeName],
    ["Memory:", memory?.file === undefined ? undefined : `${memory.file} ${formatBytes(memory.sizeBytes)}`.trim()],
    ["Hold ends:", status.phase === "ManualStoragePending" ? status.holdDeadline : undefined],
    ["Requested by:", status.requestedBy],
    ["Error:", status.phase === "Failed" ? explainFailure(status.error) : undefined],
  ];
  const lines = tableLines(facts.flatMap(([label, value]) => (value === undefined ? [] : [[label, value]])));
  const timeline = timelineLines(status);
  if (timeline.length > 0) lines.push("", "Timeline:", ...timeline);
  if (status.disks !== undefined && status.disks.length > 0) {
    const rows = status.disks.map((disk) => [disk.name, disk.snapshot, disk.overlay ?? "", disk.message ?? ""]);
    lines.push("", "Disks:", ...indented([["NAME", "SNAPSHOT", "OVERLAY", "MESSAGE"], ...rows]));
  }
  if (status.conditions !== undefined && status.conditions.length > 0) {
    const rows = status.conditions.map(({ type, status: is, reason, message }) => [type, is, reason, message]);
    lines.push("", "Conditions:", ...indented([["TYPE", "STATUS", "REASON", "MESSAGE"], ...rows]));
  }
  return lines;
}

function indented(rows: readonly (readonly string[])[]): string[] {
  return tableLines(rows).map((line) => `  ${line}`);
}
