// The description of `get`.

import { expect, test } from "vitest";
import type { DomainSnapshot, DomainSnapshotSpec, DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import { describeSnapshot } from "./describe-snapshot.ts";

const at = "2026-01-01T10:00:00.000000Z";

function snapshot(status?: DomainSnapshotStatus, spec: Partial<DomainSnapshotSpec> = {}): DomainSnapshot {
  return {
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshot",
    metadata: { name: "nightly", namespace: "shop" },
    spec: { domainRef: { name: "db" }, capture: "live", quiesce: "Never", deletionPolicy: "Retain", ...spec },
    ...(status !== undefined && { status }),
  };
}

test("of one that nobody has seen yet only the request is known", () => {
  expect(describeSnapshot(snapshot())).toEqual([
    "Name:        nightly",
    "Namespace:   shop",
    "Domain:      db",
    "Capture:     live",
    "Phase:       not seen yet by the operator",
  ]);
});

test("a held one shows until when, and on which node", () => {
  const status: DomainSnapshotStatus = {
    phase: "ManualStoragePending",
    nodeName: "node-1",
    holdDeadline: "2026-01-01T10:10:00.000000Z",
    memory: { file: "nightly.mem", sizeBytes: 512 * 1024 ** 2 },
  };
  const lines = describeSnapshot(snapshot(status, { description: "before the upgrade" }));
  expect(lines).toEqual([
    "Name:          nightly",
    "Namespace:     shop",
    "Domain:        db",
    "Description:   before the upgrade",
    "Capture:       live",
    "Phase:         ManualStoragePending",
    "Node:          node-1",
    "Memory:        nightly.mem 512.0Mi",
    "Hold ends:     2026-01-01T10:10:00.000000Z",
  ]);
});

test("memory of which the size is not known yet is its file alone; memory without a file is none", () => {
  const lineOf = (memory: DomainSnapshotStatus["memory"]) =>
    describeSnapshot(snapshot({ phase: "SavingMemory", memory })).find((line) => line.startsWith("Memory:"));
  expect(lineOf({ file: "nightly.mem" })).toMatch(/^Memory: +nightly\.mem$/);
  expect(lineOf({ sizeBytes: 1024 })).toBeUndefined();
});

test("after the hold its deadline says nothing any more, and who ended it does", () => {
  const lines = describeSnapshot(snapshot({ phase: "Completed", holdDeadline: at, requestedBy: "dsnap" }));
  expect(lines.some((line) => line.startsWith("Hold ends:"))).toBe(false);
  expect(lines.at(-1)).toMatch(/^Requested by: +dsnap$/);
});

test("a failure is told with who can do what; a failure without a word sends to the log", () => {
  const errorOf = (status: DomainSnapshotStatus) =>
    describeSnapshot(snapshot(status)).find((line) => line.startsWith("Error:"));
  const error = { reason: "NoSpace", message: "2 GiB short" };
  expect(errorOf({ phase: "Failed", error })).toMatch(/^Error: +NoSpace: 2 GiB short \(admin: not enough free space/);
  expect(errorOf({ phase: "Failed" })).toMatch(/^Error: +no error was recorded; look at the operator's log$/);
  expect(errorOf({ phase: "Completed" })).toBeUndefined();
});

test("timeline, disks and conditions follow as indented parts, each after an empty line", () => {
  const status: DomainSnapshotStatus = {
    phase: "Completed",
    pausedAt: at,
    resumedAt: "2026-01-01T10:00:00.250000Z",
    disks: [
      { name: "vda", snapshot: "manual" },
      { name: "vdb", snapshot: "external", overlay: "vdb.nightly.qcow2" },
      { name: "sda", snapshot: "none", message: "read-only" },
    ],
    conditions: [
      { type: "Ready", status: "True", reason: "Completed", message: "it is complete", lastTransitionTime: at },
      { type: "GuestPaused", status: "False", reason: "Resumed", message: "it runs", lastTransitionTime: at },
    ],
  };
  const lines = describeSnapshot(snapshot(status));
  expect(lines.slice(lines.indexOf(""))).toEqual([
    "",
    "Timeline:",
    "  guest paused       10:00:00.000000  +0.0 ms",
    "  guest runs         10:00:00.250000  +250.0 ms",
    "",
    "Disks:",
    "  NAME   SNAPSHOT   OVERLAY             MESSAGE",
    "  vda    manual",
    "  vdb    external   vdb.nightly.qcow2",
    "  sda    none                           read-only",
    "",
    "Conditions:",
    "  TYPE          STATUS   REASON      MESSAGE",
    "  Ready         True     Completed   it is complete",
    "  GuestPaused   False    Resumed     it runs",
  ]);
});

test("parts about which nothing is known are left out, headings too", () => {
  expect(describeSnapshot(snapshot({ phase: "Pending", disks: [], conditions: [] }))).not.toContain("");
});
