// When an administrator has to look at a guest before an uninstall.

import { expect, test } from "vitest";
import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import { guestInDoubt } from "./guest-in-doubt.ts";

const at = "2026-01-01T10:00:00.000000Z";
const failed = (reason: string): DomainSnapshotStatus => ({ phase: "Failed", error: { reason, message: "m" } });

const cases: readonly [string, boolean, DomainSnapshotStatus | undefined][] = [
  ["nobody has begun with", false, undefined],
  ["is Completed", false, { phase: "Completed", startedAt: at, pausedAt: at, resumedAt: at }],
  ["was aborted and runs again", false, { ...failed("Aborted"), startedAt: at, pausedAt: at, resumedAt: at }],
  ["was aborted before it was stopped", false, { ...failed("Aborted"), startedAt: at }],
  ["was refused", false, failed("MonitorUnavailable")],
  ["no agent took up", false, failed("AgentLost")],
  ["was paused before", false, { ...failed("Aborted"), startedAt: at, pausedAt: at, domainStateBefore: "Paused" }],
  ["was stopped and not resumed", true, { ...failed("Aborted"), startedAt: at, pausedAt: at }],
  ["could not be resumed", true, { ...failed("ResumeFailed"), startedAt: at, pausedAt: at }],
  ["went out of reach at its stop", true, { ...failed("MonitorUnavailable"), startedAt: at }],
  ["was last seen held", true, { phase: "ManualStoragePending", startedAt: at, pausedAt: at }],
  ["was last seen at its begin", true, { phase: "Preparing", startedAt: at }],
];

test.each(cases)("the guest of a snapshot that %s: in doubt is %j", (_what, expected, status) => {
  expect(guestInDoubt(status)).toBe(expected);
});
