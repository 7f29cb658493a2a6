// What the operator reads and writes through: for each kind a client and the store that a reflector fills.

import { type Domain, domain } from "../api/v1alpha1/domain.ts";
import { type DomainSnapshot, domainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { type DomainSnapshotContent, domainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { domainSnapshotContents, domainSnapshots, domains } from "../api/v1alpha1/group.ts";
import type { KubeApi } from "../kube/kube-client.ts";
import type { ApiResource, KubeObject } from "../kube/kube-object.ts";
import { type Lease, leases } from "../kube/lease.ts";
import { ResourceClient } from "../kube/resource-client.ts";
import { Store } from "../kube/store.ts";

export interface Kind<T extends KubeObject> {
  readonly client: ResourceClient<T>;
  readonly store: Store<T>;
}

export interface ClusterView {
  readonly snapshots: Kind<DomainSnapshot>;
  readonly contents: Kind<DomainSnapshotContent>;
  readonly domains: Kind<Domain>;
  readonly leases: Kind<Lease>;
}

export function createClusterView(api: KubeApi): ClusterView {
  return {
    snapshots: kind(api, domainSnapshots, (raw) => domainSnapshot.parse(raw)),
    contents: kind(api, domainSnapshotContents, (raw) => domainSnapshotContent.parse(raw)),
    domains: kind(api, domains, (raw) => domain.parse(raw)),
    leases: { client: new ResourceClient<Lease>({ api, resource: leases }), store: new Store<Lease>() },
  };
}

function kind<T extends KubeObject>(api: KubeApi, resource: ApiResource, parse: (raw: unknown) => T): Kind<T> {
  return { client: new ResourceClient<T>({ api, resource, parse }), store: new Store<T>() };
}
