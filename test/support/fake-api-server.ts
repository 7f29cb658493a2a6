// An API server in memory: list, watch, create, merge patch, apply, delete, preconditions, history, and faults on demand.
// It speaks KubeApi, not HTTP. What it simplifies: an apply merges maps and replaces lists, and field managers never conflict.

import { ApiError } from "../../src/kube/api-error.ts";
import type { ApiRequest, KubeApi, WatchRequest } from "../../src/kube/kube-client.ts";
import { type ApiResource, apiVersionOf, type KubeObject } from "../../src/kube/kube-object.ts";
import { resourcePath } from "../../src/kube/resource-path.ts";
import type { WatchEvent } from "../../src/kube/watch-event.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { absent, asJson, type Json, merge } from "./fake-apply.ts";
import { idOf, isWithin, parsePath, selectorOf, type Target } from "./fake-target.ts";
import { WatchChannel } from "./watch-channel.ts";

type Stored = KubeObject & { readonly spec?: unknown; readonly status?: unknown };

interface Change {
  readonly revision: number;
  readonly target: Target;
  readonly event: WatchEvent;
}

interface Fault {
  readonly method: string;
  readonly path: RegExp;
  readonly error: ApiError;
}

/** Objects on one page of a list, whatever the client asks for: small, so that tests page. */
const pageSize = 3;
/** As the real client: a watch that is silent for so long is given up. */
const watchIdleMilliseconds = 90_000;

export class FakeApiServer implements KubeApi {
  /** Every request that was answered, refused ones included: for counting writes. */
  readonly requests: { readonly method: string; readonly path: string; readonly body: unknown }[] = [];
  readonly #clock: Clock;
  readonly #objects = new Map<string, { readonly target: Target; readonly object: Stored }>();
  readonly #applied = new Map<string, unknown>();
  readonly #history: Change[] = [];
  readonly #watches = new Map<WatchChannel, Target>();
  #faults: Fault[] = [];
  #revision = 1;
  #compactedTo = 0;
  #uids = 0;

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock;
  }

  /** Puts an object there as it is, status included. */
  put<D extends KubeObject>(resource: ApiResource, object: D): Stored {
    const { namespace, name } = object.metadata;
    const typed = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object };
    return this.#store(parsePath(resourcePath(resource, { namespace, name })), typed);
  }

  /** Removes an object whatever its finalizers. */
  remove(resource: ApiResource, name: string, namespace?: string): void {
    const target = parsePath(resourcePath(resource, { namespace, name }));
    if (this.#objects.has(idOf(target))) this.#delete(target);
  }

  /** All objects of a resource, in all namespaces. */
  all(resource: ApiResource): Stored[] {
    return this.#matching(parsePath(resourcePath(resource))).map(({ object }) => object);
  }

  /** The next request with this method ("WATCH" for a watch) and path fails. */
  failNext(method: string, path: RegExp, status: number, reason?: string): void {
    const error = status === 0 ? ApiError.fromNetwork(new Error("connection reset"), path.source) : undefined;
    this.#faults.push({
      method,
      path,
      error: error ?? ApiError.fromStatus({ code: status, reason, message: "fault" }),
    });
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** Ends all watches: in good order, or with an error (a cut, or an ERROR event's). */
  endWatches(error?: ApiError): void {
    for (const channel of this.#watches.keys()) channel.end(error);
    this.#watches.clear();
  }

  /** All open watches fall silent: events are lost, until the client gives them up. */
  hangWatches(): void {
    this.#watches.clear();
  }

  /** Tells the open watches how far they are. */
  sendBookmarks(): void {
    for (const channel of this.#watches.keys())
      channel.push({ type: "BOOKMARK", resourceVersion: `${this.#revision}` });
  }

  /** Forgets the history: who is behind must list again. */
  compact(): void {
    this.#compactedTo = this.#revision;
  }

  /** Revisions pass that this client's selection does not see. */
  skipRevisions(count: number): void {
    this.#revision += count;
  }

  async request(request: ApiRequest): Promise<unknown> {
    await Promise.resolve();
    request.signal?.throwIfAborted();
    const { method, path, body } = request;
    this.requests.push({ method, path, body });
    this.#throwFault(method, path);
    const target = parsePath(path);
    switch (method) {
      case "GET":
        return structuredClone(target.name === undefined ? this.#list(request, target) : this.#existing(target));
      case "POST":
        return structuredClone(this.#create(target, asJson(body)));
      case "PATCH":
        return structuredClone(this.#patch(request, target, asJson(body)));
      case "DELETE":
        return structuredClone(this.#remove(target, asJson(body)));
      default:
        throw ApiError.fromStatus({ code: 405 });
    }
  }

  async *watch(request: WatchRequest): AsyncGenerator<WatchEvent> {
    await Promise.resolve();
    request.signal?.throwIfAborted();
    this.requests.push({ method: "WATCH", path: request.path, body: undefined });
    this.#throwFault("WATCH", request.path);
    const since = Number(request.query?.["resourceVersion"]);
    if (since < this.#compactedTo) throw ApiError.fromStatus({ code: 410, reason: "Expired" });
    const target = { ...parsePath(request.path), selector: selectorOf(request.query) };
    const channel = new WatchChannel({
      clock: this.#clock,
      idleMilliseconds: watchIdleMilliseconds,
      signal: request.signal,
    });
    for (const change of this.#history) if (change.revision > since) this.#tell(channel, target, change);
    this.#watches.set(channel, target);
    try {
      yield* channel.events();
    } finally {
      this.#watches.delete(channel);
    }
  }

  #list(request: ApiRequest, target: Target): unknown {
    const selector = selectorOf(request.query);
    const all = this.#matching(target).filter(({ object }) => selector(object));
    const token = request.query?.["continue"];
    const [offset = 0, revision = this.#revision] = token === undefined ? [] : String(token).split("@").map(Number);
    if (revision < this.#compactedTo) throw ApiError.fromStatus({ code: 410, reason: "Expired" });
    // A true list shows the state of its first page; a change in between makes this one's pages expire instead.
    if (revision !== this.#revision) throw ApiError.fromStatus({ code: 410, reason: "Expired" });
    const next = offset + pageSize;
    const metadata = { resourceVersion: `${revision}`, ...(next < all.length && { continue: `${next}@${revision}` }) };
    return { metadata, items: all.slice(offset, next).map(({ object }) => object) };
  }

  #create(target: Target, body: Json): Stored {
    const name = Reflect.get(asJson(body["metadata"]), "name");
    const named = { ...target, name: String(name) };
    if (this.#objects.has(idOf(named)))
      throw ApiError.fromStatus({ code: 409, reason: "AlreadyExists", message: String(name) });
    return this.#store(named, body);
  }

  #patch(request: ApiRequest, target: Target, body: Json): Stored {
    const isApply = request.contentType?.startsWith("application/apply-patch") ?? false;
    const known = this.#objects.get(idOf(target))?.object;
    if (known === undefined && isApply && target.subresource === undefined) return this.#store(target, body);
    const current = this.#existing(target);
    const { uid, resourceVersion, ...metadata } = asJson(body["metadata"]);
    const onlyStatus = target.subresource === "status";
    const stale = resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion;
    if (stale) throw ApiError.fromStatus({ code: 409, reason: "Conflict" });
    // As the real server: a uid protects from nothing in a patch of the status, and is a forbidden change elsewhere.
    if (uid !== undefined && uid !== current.metadata.uid && !onlyStatus) {
      throw ApiError.fromStatus({ code: 422, reason: "Invalid", message: "metadata.uid: field is immutable" });
    }
    let wanted: Json = onlyStatus ? { status: body["status"] } : { ...body, metadata };
    if (isApply) {
      const owner = `${idOf(target)} ${target.subresource} ${String(request.query?.["fieldManager"])}`;
      const before = this.#applied.get(owner);
      this.#applied.set(owner, structuredClone(wanted));
      wanted = asJson(merge(absent(before, wanted), wanted));
    }
    return this.#store(target, asJson(merge(current, wanted)));
  }

  #remove(target: Target, body: Json): unknown {
    const current = this.#existing(target);
    const { uid, resourceVersion } = asJson(body["preconditions"]);
    const other = uid !== undefined && uid !== current.metadata.uid;
    if (other || (resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion)) {
      throw ApiError.fromStatus({ code: 409, reason: "Conflict" });
    }
    if ((current.metadata.finalizers ?? []).length === 0) return this.#delete(target);
    if (current.metadata.deletionTimestamp !== undefined) return current;
    const deletionTimestamp = new Date(this.#clock.now()).toISOString();
    return this.#store(target, { ...current, metadata: { ...current.metadata, deletionTimestamp } });
  }

  /** Stores a new version, and removes it at once if its last finalizer went while it was being deleted. */
  #store(target: Target, body: object): Stored {
    const known = this.#objects.get(idOf(target))?.object;
    const given = structuredClone(body) as Stored;
    this.#revision += 1;
    const isNewSpec = JSON.stringify(known?.spec) !== JSON.stringify(given.spec);
    const object: Stored = {
      ...given,
      metadata: {
        ...given.metadata,
        name: target.name ?? "",
        ...(target.namespace !== undefined && { namespace: target.namespace }),
        uid: known?.metadata.uid ?? this.#nextUid(),
        resourceVersion: `${this.#revision}`,
        generation: (known?.metadata.generation ?? 0) + (isNewSpec || known === undefined ? 1 : 0),
        creationTimestamp: known?.metadata.creationTimestamp ?? new Date(this.#clock.now()).toISOString(),
      },
    };
    this.#objects.set(idOf(target), { target, object });
    this.#record(target, { type: known === undefined ? "ADDED" : "MODIFIED", object });
    const isEnding = object.metadata.deletionTimestamp !== undefined && (object.metadata.finalizers ?? []).length === 0;
    return isEnding ? this.#delete(target) : object;
  }

  #nextUid(): string {
    this.#uids += 1;
    return `uid-${this.#uids}`;
  }

  #delete(target: Target): Stored {
    const { object } = this.#objects.get(idOf(target)) ?? { object: this.#existing(target) };
    this.#objects.delete(idOf(target));
    this.#revision += 1;
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: `${this.#revision}` } };
    this.#record(target, { type: "DELETED", object: last });
    return last;
  }

  #record(target: Target, event: WatchEvent): void {
    const change = { revision: this.#revision, target, event: structuredClone(event) };
    this.#history.push(change);
    for (const [channel, wanted] of this.#watches) this.#tell(channel, wanted, change);
  }

  /** Unlike the real server, an object that leaves a selection is not told as deleted: tests select by what never changes. */
  #tell(channel: WatchChannel, wanted: Target & { selector?: (object: unknown) => boolean }, change: Change): void {
    if (!("object" in change.event) || !isWithin(change.target, wanted)) return;
    if (wanted.selector?.(change.event.object) ?? true) channel.push(structuredClone(change.event));
  }

  #existing(target: Target): Stored {
    const stored = this.#objects.get(idOf(target));
    if (stored === undefined)
      throw ApiError.fromStatus({ code: 404, reason: "NotFound", message: `${target.name} not found` });
    return stored.object;
  }

  #matching(target: Target): { readonly target: Target; readonly object: Stored }[] {
    const found = [...this.#objects.values()].filter((stored) => isWithin(stored.target, target));
    return found.sort((a, b) => idOf(a.target).localeCompare(idOf(b.target)));
  }

  #throwFault(method: string, path: string): void {
    const index = this.#faults.findIndex((fault) => fault.method === method && fault.path.test(path));
    const [fault] = index < 0 ? [] : this.#faults.splice(index, 1);
    if (fault !== undefined) throw fault.error;
  }
}
