// coordination.k8s.io/v1 Lease: the object by which processes show that they live and who leads.

import type { ApiResource, KubeObject } from "./kube-object.ts";

export interface Lease extends KubeObject {
  readonly spec?:
    | {
        readonly holderIdentity?: string | null | undefined;
        readonly leaseDurationSeconds?: number | undefined;
        /** MicroTime by the holder's wall clock: for people. Only its change means anything to a machine. */
        readonly renewTime?: string | undefined;
        readonly acquireTime?: string | undefined;
        /** How often the holder has changed. Grows with each new leader: a fencing number. */
        readonly leaseTransitions?: number | undefined;
      }
    | undefined;
}

export const leases: ApiResource = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  namespaced: true,
};
