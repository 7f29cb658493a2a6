// The local copy of a resource: filled by a reflector, read by everyone, with a gate that opens once it is complete.

import { type KubeObject, objectKey } from "./kube-object.ts";

export type StoreChange<T> =
  | { readonly type: "Added"; readonly key: string; readonly object: T; readonly previous?: undefined }
  | { readonly type: "Modified"; readonly key: string; readonly object: T; readonly previous: T }
  | { readonly type: "Deleted"; readonly key: string; readonly object: T; readonly previous: T };

export type StoreListener<T> = (change: StoreChange<T>) => void;

/** An object that we wrote ourselves and that the watch has not shown yet. */
interface OwnWrite {
  readonly resourceVersion: string;
  /** Kept through one relist, since its list may have begun before the write; not through two. */
  readonly relists: number;
}

export class Store<T extends KubeObject> {
  /** Resolves after the first complete list. Never rejects: without an API server it stays pending. */
  readonly synced: Promise<void>;
  readonly #objects = new Map<string, T>();
  readonly #ownWrites = new Map<string, OwnWrite>();
  readonly #listeners = new Set<StoreListener<T>>();
  readonly #onListenerError: (error: unknown) => void;
  readonly #openGate: () => void;
  #isSynced = false;

  /** A listener that throws is reported and does not keep others from hearing. By default as a process warning. */
  constructor(options: { onListenerError?: (error: unknown) => void } = {}) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#openGate = resolve;
    this.#onListenerError =
      options.onListenerError ?? ((error) => process.emitWarning(`store listener: ${String(error)}`));
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** By "namespace/name" or "name". Objects are shared: never change them. */
  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  /**
   * Hears of every change; objects that are there already are told at once as Added, so that nobody misses any. Listeners
   * run synchronously and should only enqueue a key. Returns the way to unsubscribe.
   */
  subscribe(listener: StoreListener<T>): () => void {
    for (const [key, object] of this.#objects) this.#tell(listener, { type: "Added", key, object });
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Read your writes: keeps what a write returned, until the watch has caught up with it. */
  put(object: T): void {
    const key = objectKey(object);
    const { resourceVersion } = object.metadata;
    const known = this.#objects.get(key)?.metadata.resourceVersion;
    if (resourceVersion === undefined || (known !== undefined && isOlder(resourceVersion, known))) return;
    this.#ownWrites.set(key, { resourceVersion, relists: 0 });
    this.#set(key, object);
  }

  /** From the reflector: an object was added or changed. */
  applyChange(object: T): void {
    const key = objectKey(object);
    if (this.#isOlderThanOwnWrite(key, object.metadata.resourceVersion)) return;
    this.#ownWrites.delete(key);
    this.#set(key, object);
  }

  /** From the reflector: an object is gone. `resourceVersion` is that of the deletion. */
  applyDeletion(key: string, resourceVersion: string | undefined): void {
    if (this.#isOlderThanOwnWrite(key, resourceVersion)) return;
    this.#ownWrites.delete(key);
    this.#remove(key);
  }

  /** From the reflector: this is all there is. What is missing is told as Deleted. Opens the gate. */
  replace(objects: Iterable<T>, resourceVersion: string, options: { keep?: ReadonlySet<string> } = {}): void {
    this.#settleOwnWrites(resourceVersion);
    const seen = new Set<string>(options.keep);
    for (const object of objects) {
      seen.add(objectKey(object));
      this.applyChange(object);
    }
    for (const key of this.#objects.keys()) {
      if (!seen.has(key) && !this.#ownWrites.has(key)) this.#remove(key);
    }
    if (!this.#isSynced) {
      this.#isSynced = true;
      this.#openGate();
    }
  }

  /** Own writes that the list must contain are the watch's business from here on. */
  #settleOwnWrites(listVersion: string): void {
    for (const [key, write] of this.#ownWrites) {
      if (write.relists > 0 || !isOlder(listVersion, write.resourceVersion)) this.#ownWrites.delete(key);
      else this.#ownWrites.set(key, { ...write, relists: write.relists + 1 });
    }
  }

  #isOlderThanOwnWrite(key: string, resourceVersion: string | undefined): boolean {
    const write = this.#ownWrites.get(key);
    return write !== undefined && resourceVersion !== undefined && isOlder(resourceVersion, write.resourceVersion);
  }

  #set(key: string, object: T): void {
    const previous = this.#objects.get(key);
    // A relist brings back what did not change: nobody needs to hear of it.
    if (previous !== undefined && isSameVersion(previous, object)) return;
    this.#objects.set(key, object);
    // A namesake is another object: its predecessor's end must not go unheard.
    if (previous !== undefined && previous.metadata.uid !== object.metadata.uid) {
      this.#tellAll({ type: "Deleted", key, object: previous, previous });
      this.#tellAll({ type: "Added", key, object });
    } else if (previous === undefined) this.#tellAll({ type: "Added", key, object });
    else this.#tellAll({ type: "Modified", key, object, previous });
  }

  #remove(key: string): void {
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#objects.delete(key);
    this.#tellAll({ type: "Deleted", key, object: previous, previous });
  }

  #tellAll(change: StoreChange<T>): void {
    // A copy: who subscribes while this is told has seen the object already.
    for (const listener of Array.from(this.#listeners)) this.#tell(listener, change);
  }

  #tell(listener: StoreListener<T>, change: StoreChange<T>): void {
    try {
      listener(change);
    } catch (error) {
      this.#onListenerError(error);
    }
  }
}

function isSameVersion(a: KubeObject, b: KubeObject): boolean {
  const version = a.metadata.resourceVersion;
  return version !== undefined && version === b.metadata.resourceVersion && a.metadata.uid === b.metadata.uid;
}

/** Resource versions are etcd revisions. Comparing them is an official guarantee since Kubernetes 1.35, a fact before. */
function isOlder(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}
