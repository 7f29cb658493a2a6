// CEL rules of DomainSnapshot: what may change and when, and which fields exclude each other.

import type { ValidationRule } from "../kubernetes-extensions.ts";
import { captureNeedsMemory, immutable, quiesceWithoutMemory } from "./rules.ts";

/** Room for `<namespace>-<name>-<uid8>.mem` and `<base image>.<name>` within the 255 bytes of a file name. */
export const maximumNameLength = 128;

const another = "create another DomainSnapshot; only resume, abort, hold and deletionPolicy may change";

const becomes = (field: "resume" | "abort", self: string, oldSelf: string): string =>
  `self${self}.?${field}.orValue(false) && !oldSelf${oldSelf}.?${field}.orValue(false)`;

/** The first of resume and abort wins: the other one is refused in the same write and in any later one. */
const exclusive: ValidationRule = {
  rule: "!(self.?resume.orValue(false) && self.?abort.orValue(false))",
  message: "spec.resume and spec.abort exclude each other; set only one of them",
};

const noAbortAfterResume: ValidationRule = {
  rule: `!(${becomes("abort", "", "")} && oldSelf.?resume.orValue(false))`,
  message:
    "spec.abort: spec.resume was set before and the first one wins; wait for the end and delete the snapshot instead",
  reason: "FieldValueForbidden",
  fieldPath: ".abort",
};

const noResumeAfterAbort: ValidationRule = {
  rule: `!(${becomes("resume", "", "")} && oldSelf.?abort.orValue(false))`,
  message: "spec.resume: spec.abort was set before and the first one wins; create another DomainSnapshot",
  reason: "FieldValueForbidden",
  fieldPath: ".resume",
};

export const specRules: readonly ValidationRule[] = [
  immutable("domainRef", true, another),
  immutable("capture", true, another),
  immutable("memory", false, another),
  immutable("disks", false, another),
  immutable("quiesce", true, another),
  immutable("notAfter", false, another),
  immutable("startDeadlineSeconds", false, another),
  immutable("description", false, another),
  captureNeedsMemory,
  quiesceWithoutMemory,
  exclusive,
  noAbortAfterResume,
  noResumeAfterAbort,
];

/** Whoever removed `resume` again does not undo it: the status remembers. */
const noAbortAfterLatchedResume: ValidationRule = {
  rule: `!(${becomes("abort", ".spec", ".spec")} && self.?status.?resumeRequestedAt.hasValue())`,
  message:
    "spec.abort: a resume is recorded in status.resumeRequestedAt and the first one wins; it cannot be taken back",
  reason: "FieldValueForbidden",
  fieldPath: ".spec.abort",
};

const noResumeAfterLatchedAbort: ValidationRule = {
  rule: `!(${becomes("resume", ".spec", ".spec")} && self.?status.?abortRequestedAt.hasValue())`,
  message:
    "spec.resume: an abort is recorded in status.abortRequestedAt and the first one wins; create another DomainSnapshot",
  reason: "FieldValueForbidden",
  fieldPath: ".spec.resume",
};

/** Not by orValue: the server's cost estimate would lose the bound of the phase, and refuse the rule. */
const phaseOrPending = "(has(self.status) && has(self.status.phase) ? self.status.phase : 'Pending')";

/**
 * A resume before the hold would end the hold before anyone could cut. On create (no old object) it is admitted: a
 * restored object carries it, and the operator ends it as Replayed without touching the guest.
 */
const resumeOnlyInHold: ValidationRule = {
  rule: [
    "!self.spec.?resume.orValue(false)",
    "!oldSelf.hasValue()",
    "oldSelf.value().spec.?resume.orValue(false)",
    "self.?status.?phase.orValue('Pending') in ['ManualStoragePending', 'Resuming', 'Completed', 'Failed']",
  ].join(" || "),
  messageExpression:
    `'spec.resume: refused in phase ' + ${phaseOrPending} + '; wait for ManualStoragePending` +
    " (kubectl wait --for=condition=ManualStoragePending), cut the manual disks, then set it'",
  message: "spec.resume: refused before phase ManualStoragePending",
  reason: "FieldValueForbidden",
  fieldPath: ".spec.resume",
  optionalOldSelf: true,
};

const saneName: ValidationRule = {
  rule: `self.metadata.name.size() <= ${maximumNameLength}`,
  message: `metadata.name: must be ${maximumNameLength} characters or fewer, as it becomes part of file names; choose a shorter one`,
};

export const rootRules: readonly ValidationRule[] = [
  saneName,
  resumeOnlyInHold,
  noAbortAfterLatchedResume,
  noResumeAfterLatchedAbort,
];

/** On a disk: what only an overlay has. Without `snapshot`, a source or driver means external, as in libvirt. */
export const diskRules: readonly ValidationRule[] = [
  {
    rule: "!has(self.source) || !has(self.snapshot) || self.snapshot == 'external'",
    message: "disks[].source: only for an external disk; leave out source, or set snapshot: external",
    fieldPath: ".source",
  },
  {
    rule: "!has(self.driver) || !has(self.snapshot) || self.snapshot == 'external'",
    message: "disks[].driver: only for an external disk; leave out driver, or set snapshot: external",
    fieldPath: ".driver",
  },
];
