// Writes a status by server-side apply, but only if that would change something: most reconciles find nothing new to say.

import { isApiError } from "./api-error.ts";
import { jsonContains, jsonEqual } from "./json-equal.ts";
import type { KubeObject } from "./kube-object.ts";
import type { ResourceClient } from "./resource-client.ts";
import type { Store } from "./store.ts";

/** Remembered per object, to notice fields that we no longer apply. A lost memory costs one needless write. */
const maxRemembered = 4_096;
const maxAttempts = 5;

export class StatusWriter<T extends KubeObject & { readonly status?: unknown }> {
  readonly #client: ResourceClient<T>;
  readonly #fieldManager: string;
  readonly #store: Store<T> | undefined;
  readonly #applied = new Map<string, unknown>();

  /** With a store, what the server returned is put there: the next reconcile reads its own write. */
  constructor(options: { client: ResourceClient<T>; fieldManager: string; store?: Store<T> }) {
    this.#client = options.client;
    this.#fieldManager = options.fieldManager;
    this.#store = options.store;
  }

  /**
   * Makes `status` all that this field manager says about `current`. Returns the object as it is now: what the server
   * returned, or `current` if nothing was written. Takes over fields of other managers; fails with `Conflict` if `current`
   * was replaced by a namesake.
   */
  async write(current: T, status: object, options: { signal?: AbortSignal } = {}): Promise<T> {
    const id = identityOf(current);
    if (this.#isUpToDate(id, current.status, status)) return current;
    const written = await this.#apply(current, status, options.signal);
    this.#remember(id, status);
    this.#store?.put(written);
    return written;
  }

  /** Nothing to remember any more: the object is gone. */
  forget(object: KubeObject): void {
    this.#applied.delete(identityOf(object));
  }

  /**
   * Only a resourceVersion ties a write of a status to one object: API servers ignore a uid there. If others changed the
   * object meanwhile, which is none of our business, it is tied to the newer version.
   */
  async #apply(current: T, status: object, signal: AbortSignal | undefined): Promise<T> {
    const { name, namespace, uid } = current.metadata;
    const options = { fieldManager: this.#fieldManager, force: true, signal };
    let { resourceVersion } = current.metadata;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#client.applyStatus({ metadata: { name, namespace, resourceVersion }, status }, options);
      } catch (error) {
        if (!isApiError(error, "Conflict") || attempt === maxAttempts) throw error;
        const newer = await this.#client.get(name, namespace, { signal });
        if (newer === undefined || newer.metadata.uid !== uid) throw error;
        resourceVersion = newer.metadata.resourceVersion;
      }
    }
  }

  #isUpToDate(id: string, current: unknown, wanted: object): boolean {
    if (jsonEqual(current, wanted)) return true;
    // Others write beside us: we are up to date if we applied just this before, and all of it still stands.
    return jsonEqual(this.#applied.get(id), wanted) && jsonContains(current, wanted);
  }

  #remember(id: string, status: object): void {
    this.#applied.delete(id);
    this.#applied.set(id, structuredClone(status));
    for (const oldest of this.#applied.keys()) {
      if (this.#applied.size <= maxRemembered) break;
      this.#applied.delete(oldest);
    }
  }
}

function identityOf(object: KubeObject): string {
  return object.metadata.uid ?? `${object.metadata.namespace}/${object.metadata.name}`;
}
