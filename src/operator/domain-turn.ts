// Whose turn it is: one active snapshot per domain, the others wait in the order in which they were created. Pure.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { contentName } from "./names.ts";
import { isTerminal } from "./phases.ts";

/**
 * Who must end before `snapshot` may start: text for people, or undefined when it is its turn. One that already has a
 * Content goes first whatever its age; a Content whose DomainSnapshot is gone counts until its agent reports the end.
 */
export function blockedBy(
  snapshot: DomainSnapshot,
  snapshots: readonly DomainSnapshot[],
  contents: readonly DomainSnapshotContent[],
): string | undefined {
  const { namespace, uid } = snapshot.metadata;
  const domainName = snapshot.spec.domainRef.name;
  const byName = new Map(contents.map((content) => [content.metadata.name, content]));
  const terminalUids = new Set<string>();
  for (const other of snapshots) {
    if (other.metadata.namespace !== namespace || other.spec.domainRef.name !== domainName) continue;
    if (isTerminal(other.status?.phase)) terminalUids.add(other.metadata.uid ?? "");
    if (other.metadata.uid === uid || isTerminal(other.status?.phase)) continue;
    const content = byName.get(contentName(other.metadata.uid ?? ""));
    if (isTerminal(content?.status?.phase)) continue;
    const waitsOnly = content === undefined;
    if (waitsOnly && (other.metadata.deletionTimestamp !== undefined || !isOlder(other, snapshot))) continue;
    return `DomainSnapshot ${other.metadata.name} of domain ${domainName} has to end first`;
  }
  const orphan = contents.find(
    ({ spec, status }) =>
      spec.domain.namespace === namespace &&
      spec.domain.name === domainName &&
      spec.snapshotRef.uid !== uid &&
      !terminalUids.has(spec.snapshotRef.uid) &&
      !isTerminal(status?.phase),
  );
  return orphan === undefined
    ? undefined
    : `DomainSnapshotContent ${orphan.metadata.name} of domain ${domainName} has to end first`;
}

function isOlder(a: DomainSnapshot, b: DomainSnapshot): boolean {
  return compareKeys(orderKey(a), orderKey(b)) < 0;
}

function orderKey({ metadata }: DomainSnapshot): string[] {
  return [metadata.creationTimestamp ?? "", metadata.name, metadata.uid ?? ""];
}

function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (const [index, part] of a.entries()) {
    const other = b[index] ?? "";
    if (part !== other) return part < other ? -1 : 1;
  }
  return 0;
}
