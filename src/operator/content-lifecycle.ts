// The writes to Contents: made once, told what is wanted of the hold, and let go. All are safe to repeat.

import type { ContentSpec, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { isApiError } from "../kube/api-error.ts";
import { hasFinalizer, removeFinalizer } from "../kube/finalizers.ts";
import { jsonEqual } from "../kube/json-equal.ts";
import { Failure } from "../runtime/failure.ts";
import type { Kind } from "./cluster-view.ts";
import { contentName, fieldManager, finalizer } from "./names.ts";

export class ContentLifecycle {
  readonly #kind: Kind<DomainSnapshotContent>;

  constructor(kind: Kind<DomainSnapshotContent>) {
    this.#kind = kind;
  }

  /** The Content as the store has it, or as the server has it: the store may lag behind. */
  async find(snapshotUid: string, signal: AbortSignal): Promise<DomainSnapshotContent | undefined> {
    const name = contentName(snapshotUid);
    return this.#kind.store.get(name) ?? (await this.#kind.client.get(name, undefined, { signal }));
  }

  /** Creates the Content with its finalizer, or takes up the one that an earlier try created. */
  async create(spec: ContentSpec, signal: AbortSignal): Promise<DomainSnapshotContent> {
    const name = contentName(spec.snapshotRef.uid);
    try {
      const draft = { metadata: { name, finalizers: [finalizer] }, spec };
      return this.#keep(await this.#kind.client.create(draft, { fieldManager, signal }));
    } catch (error) {
      if (!isApiError(error, "AlreadyExists")) throw error;
      const found = await this.#kind.client.get(name, undefined, { signal });
      if (found === undefined)
        throw new Failure("Conflict", `${name} came and went`, { cause: error, retryable: true });
      return this.#keep(found);
    }
  }

  /** Changes only what differs. `desired` is decided once: the API server refuses a second decision. */
  async update(
    content: DomainSnapshotContent,
    wanted: Partial<Pick<ContentSpec, "desired" | "hold" | "deletionPolicy">>,
    signal: AbortSignal,
  ): Promise<DomainSnapshotContent> {
    const spec: Partial<ContentSpec> = {
      ...(wanted.desired !== undefined && wanted.desired !== content.spec.desired && { desired: wanted.desired }),
      ...(wanted.hold !== undefined && !jsonEqual(wanted.hold, content.spec.hold) && { hold: wanted.hold }),
      ...(wanted.deletionPolicy !== undefined &&
        wanted.deletionPolicy !== content.spec.deletionPolicy && { deletionPolicy: wanted.deletionPolicy }),
    };
    if (Object.keys(spec).length === 0) return content;
    const { name } = content.metadata;
    return this.#keep(await this.#kind.client.mergePatch(name, undefined, { spec }, { fieldManager, signal }));
  }

  /** Aborts a Content that no agent has taken up; `Conflict` if one did meanwhile. */
  async withdraw(content: DomainSnapshotContent, signal: AbortSignal): Promise<DomainSnapshotContent> {
    if (content.spec.desired !== "Held") return content;
    const { name, resourceVersion } = content.metadata;
    const patch = { metadata: { resourceVersion }, spec: { desired: "Aborted" } };
    return this.#keep(await this.#kind.client.mergePatch(name, undefined, patch, { fieldManager, signal }));
  }

  /** Asks for the end of the Content; it stays until {@link release}. For its agent this is an abort. */
  async remove(content: DomainSnapshotContent, signal: AbortSignal): Promise<void> {
    if (content.metadata.deletionTimestamp !== undefined) return;
    await this.#kind.client.delete(content.metadata.name, undefined, { uid: content.metadata.uid, signal });
  }

  /** Drops our finalizer, from the newest version. */
  async release(content: DomainSnapshotContent, signal: AbortSignal): Promise<void> {
    const newest = await this.#kind.client.get(content.metadata.name, undefined, { signal });
    if (newest === undefined || newest.metadata.uid !== content.metadata.uid || !hasFinalizer(newest, finalizer))
      return;
    try {
      await removeFinalizer(this.#kind.client, newest, finalizer, { signal });
    } catch (error) {
      if (!isApiError(error, "NotFound")) throw error;
    }
  }

  #keep(content: DomainSnapshotContent): DomainSnapshotContent {
    this.#kind.store.put(content);
    return content;
  }
}
