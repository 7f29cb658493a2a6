// Removes one finalizer of an object, never touching those of others.

import type { KubeObject } from "./kube-object.ts";
import type { ResourceClient } from "./resource-client.ts";

export function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) ?? false;
}

/**
 * Returns the object without the finalizer. `NotFound` means that it was the last one and the object is gone already,
 * `Conflict` that it has changed since it was read: reconcile again.
 */
export async function removeFinalizer<T extends KubeObject>(
  client: ResourceClient<T>,
  object: T,
  finalizer: string,
  options: { signal?: AbortSignal } = {},
): Promise<T> {
  if (!hasFinalizer(object, finalizer)) return object;
  const rest = (object.metadata.finalizers ?? []).filter((other) => other !== finalizer);
  const { name, namespace, resourceVersion } = object.metadata;
  // A merge patch replaces the whole list, so it is bound to the version that the list was read from.
  return await client.mergePatch(name, namespace, { metadata: { resourceVersion, finalizers: rest } }, options);
}
