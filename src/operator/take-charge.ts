// Before a guest is touched its request bears two things, in one write: our finalizer, and whose request it is.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { hasFinalizer } from "../kube/finalizers.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import { fieldManager, finalizer, requestAnnotation } from "./names.ts";

/**
 * Returns the object with both; puts back what a `kubectl replace` dropped. `Conflict` if it has changed since it was
 * read: reconcile again.
 */
export async function takeCharge(
  client: ResourceClient<DomainSnapshot>,
  snapshot: DomainSnapshot,
  options: { readonly domainUuid: string; readonly signal: AbortSignal },
): Promise<DomainSnapshot> {
  const { name, namespace, uid, resourceVersion, finalizers = [], annotations } = snapshot.metadata;
  const request = JSON.stringify({ uid, domainUUID: options.domainUuid });
  if (hasFinalizer(snapshot, finalizer) && annotations?.[requestAnnotation] === request) return snapshot;
  const metadata = {
    resourceVersion,
    finalizers: [...new Set([...finalizers, finalizer])],
    annotations: { [requestAnnotation]: request },
  };
  return await client.mergePatch(name, namespace, { metadata }, { fieldManager, signal: options.signal });
}
