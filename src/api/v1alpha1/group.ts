// The API group and its resources: what is not schema.

export const group = "domainsnapshot.io";
export const version = "v1alpha1";
export const apiVersion = `${group}/${version}`;

/** Where a kind lives in the API. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export const domains: Resource = { group, version, kind: "Domain", plural: "domains", namespaced: true };
export const domainSnapshots: Resource = {
  group,
  version,
  kind: "DomainSnapshot",
  plural: "domainsnapshots",
  namespaced: true,
};
export const domainSnapshotContents: Resource = {
  group,
  version,
  kind: "DomainSnapshotContent",
  plural: "domainsnapshotcontents",
  namespaced: false,
};
