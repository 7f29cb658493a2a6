// The table of `list`: the columns that kubectl shows, plus what is worth a wider terminal.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { formatAge } from "./duration.ts";
import { tableLines } from "./table.ts";

/** Lines with a header; `nowMilliseconds` is what ages are counted to. */
export function listTable(
  snapshots: readonly DomainSnapshot[],
  options: { wide: boolean; namespaces: boolean; nowMilliseconds: number },
): string[] {
  const { wide, namespaces, nowMilliseconds } = options;
  const header = ["NAME", "DOMAIN", "PHASE", "CAPTURE", "PAUSED", "READY", "AGE"];
  const rows = snapshots.map((snapshot) => {
    const { metadata, spec, status } = snapshot;
    const ready = status?.conditions?.find((condition) => condition.type === "Ready");
    const paused = status?.pause?.totalMilliseconds;
    const created = metadata.creationTimestamp;
    return [
      ...(namespaces ? [metadata.namespace ?? ""] : []),
      metadata.name,
      spec.domainRef.name,
      status?.phase ?? "",
      spec.capture,
      paused === undefined ? "" : `${paused.toFixed(1)}ms`,
      ready?.status ?? "",
      created === undefined ? "<unknown>" : formatAge(nowMilliseconds - Date.parse(created)),
      ...(wide ? [status?.nodeName ?? "", formatBytes(status?.memory?.sizeBytes), ready?.reason ?? ""] : []),
    ];
  });
  return tableLines([
    [...(namespaces ? ["NAMESPACE"] : []), ...header, ...(wide ? ["NODE", "MEMORY", "REASON"] : [])],
    ...rows,
  ]);
}

/** Bytes in binary units as Kubernetes writes quantities, with one digit: 512.0Mi. Empty for undefined. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined) return "";
  const units = ["", "Ki", "Mi", "Gi", "Ti"];
  const exponent = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return exponent === 0 ? `${bytes}` : `${(bytes / 1024 ** exponent).toFixed(1)}${units[exponent] ?? ""}`;
}
