// Names by which the operator is known in the API: its field manager, its finalizer, and how a Content is called.

import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { group } from "../api/v1alpha1/group.ts";

/** Field manager of every write of the operator. */
export const fieldManager = "domain-snapshot-operator";

/** Held on DomainSnapshots and Contents while a guest may still have to be accounted for. */
export const finalizer = `${group}/operator`;

/** On a DomainSnapshot that was taken up: whose request it is. A copy bears that of its original. */
export const requestAnnotation = `${group}/request`;

/** Set to "true" by a person on a DomainSnapshot that is being deleted: its node is gone for good, do not wait for it. */
export const abandonAnnotation = `${group}/abandon`;

/** Where the agents' Leases live unless told otherwise. */
export const defaultNamespace = "domain-snapshot-system";

/** The Content of a DomainSnapshot; from its UID, so that creating it twice is impossible. */
export const contentName = (snapshotUid: string): string => `dsnap-${snapshotUid}`;

/** The Lease that the agent of a node renews. */
export const agentLeaseName = (nodeName: string): string => `dsnap-agent-${nodeName}`;

/** Store key of the DomainSnapshot that a Content belongs to. */
export const snapshotKeyOf = (content: DomainSnapshotContent): string =>
  `${content.spec.snapshotRef.namespace}/${content.spec.snapshotRef.name}`;
