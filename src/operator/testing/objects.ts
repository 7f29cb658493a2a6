// Objects for the operator's tests: a domain, a request for it and its Content, each overridable where a test cares.

import type { Domain, DomainStatus } from "../../api/v1alpha1/domain.ts";
import type { DomainSnapshot, DomainSnapshotSpec } from "../../api/v1alpha1/domain-snapshot.ts";
import type { ContentSpec, ContentStatus, DomainSnapshotContent } from "../../api/v1alpha1/domain-snapshot-content.ts";
import { apiVersion } from "../../api/v1alpha1/group.ts";

export const snapshotUid = "11111111-2222-3333-4444-555555555555";
export const domainUuid = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
export const nodeName = "node-1";

export function aDomain(status: Partial<DomainStatus> = {}): Domain {
  return {
    apiVersion,
    kind: "Domain",
    metadata: { name: "db-1", namespace: "shop", uid: "d-1", generation: 1 },
    spec: { nodeName, uuid: domainUuid },
    status: {
      state: "Running",
      memoryBytes: 256 * 1024 * 1024,
      captureModes: ["paused", "live"],
      disks: [
        { name: "vda", readOnly: false, empty: false, sourceType: "Block" },
        { name: "vdb", readOnly: false, empty: false, sourceType: "File", format: "qcow2" },
        { name: "sda", readOnly: true, empty: true },
      ],
      ...status,
    },
  };
}

export function aSnapshot(
  overrides: {
    spec?: Partial<DomainSnapshotSpec>;
    metadata?: Partial<DomainSnapshot["metadata"]>;
    status?: DomainSnapshot["status"];
  } = {},
): DomainSnapshot {
  return {
    apiVersion,
    kind: "DomainSnapshot",
    metadata: {
      name: "before-upgrade",
      namespace: "shop",
      uid: snapshotUid,
      generation: 1,
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...overrides.metadata,
    },
    spec: {
      domainRef: { name: "db-1" },
      capture: "paused",
      memory: { snapshot: "external" },
      disks: [{ name: "vda", snapshot: "manual" }],
      quiesce: "Never",
      deletionPolicy: "Retain",
      ...overrides.spec,
    },
    ...(overrides.status === undefined ? {} : { status: overrides.status }),
  };
}

export function aContent(status?: ContentStatus, spec: Partial<ContentSpec> = {}): DomainSnapshotContent {
  return {
    apiVersion,
    kind: "DomainSnapshotContent",
    metadata: { name: `dsnap-${snapshotUid}`, generation: 1 },
    spec: {
      snapshotRef: { namespace: "shop", name: "before-upgrade", uid: snapshotUid },
      nodeName,
      domain: { namespace: "shop", name: "db-1", uuid: domainUuid },
      capture: "paused",
      memory: { snapshot: "external" },
      disks: [
        { name: "vda", snapshot: "manual" },
        { name: "vdb", snapshot: "external", format: "qcow2" },
        { name: "sda", snapshot: "none" },
      ],
      quiesce: "Never",
      hold: { timeoutSeconds: 600, onTimeout: "Resume" },
      desired: "Held",
      deletionPolicy: "Retain",
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

/** A clock that stands still until told to move; sleeps end only by their signal. */
export class ManualClock {
  #milliseconds: number;

  constructor(startMilliseconds = Date.UTC(2026, 0, 1)) {
    this.#milliseconds = startMilliseconds;
  }

  now(): number {
    return this.#milliseconds;
  }

  monotonic(): number {
    return this.#milliseconds;
  }

  sleep(_milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  advance(milliseconds: number): void {
    this.#milliseconds += milliseconds;
  }
}
