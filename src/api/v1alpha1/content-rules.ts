// CEL rules of DomainSnapshotContent: a plan does not change, and what happens to the hold is decided once.

import type { ValidationRule } from "../kubernetes-extensions.ts";
import { captureNeedsMemory, immutable, quiesceWithoutMemory } from "./rules.ts";

const fixed = "a plan is made once; only desired, hold and deletionPolicy may change";

export const contentSpecRules: readonly ValidationRule[] = [
  immutable("snapshotRef", true, fixed),
  immutable("nodeName", true, fixed),
  immutable("domain", true, fixed),
  immutable("capture", true, fixed),
  immutable("memory", true, fixed),
  immutable("disks", true, fixed),
  immutable("quiesce", true, fixed),
  immutable("description", false, fixed),
  captureNeedsMemory,
  quiesceWithoutMemory,
];

export const desiredRules: readonly ValidationRule[] = [
  {
    rule: "oldSelf == 'Held' || self == oldSelf",
    message: "spec.desired is decided once: Released and Aborted are final",
    reason: "FieldValueForbidden",
  },
];

export const contentDiskRules: readonly ValidationRule[] = [
  {
    rule: "self.snapshot == 'external' || (!has(self.file) && !has(self.format))",
    message: "disks[]: file and format belong to external disks only; leave them out",
  },
];

/** The name comes from the UID, so that two plans for one DomainSnapshot are impossible. */
export const contentRootRules: readonly ValidationRule[] = [
  {
    rule: "self.metadata.name == 'dsnap-' + self.spec.snapshotRef.uid",
    message: "metadata.name: must be dsnap- followed by spec.snapshotRef.uid",
  },
];
