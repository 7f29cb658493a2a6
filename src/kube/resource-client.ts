// The verbs of one resource. Bodies travel as they are (no models that drop unknown fields); what returns is parsed once.

import { ApiError, isApiError } from "./api-error.ts";
import type { ApiRequest, KubeApi } from "./kube-client.ts";
import { type ApiResource, apiVersionOf, type Draft, type KubeObject } from "./kube-object.ts";
import { resourcePath } from "./resource-path.ts";
import { resourceVersionOf, type WatchEvent } from "./watch-event.ts";

export interface Selection {
  /** Without it, a namespaced resource is listed in all namespaces. */
  readonly namespace?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly labelSelector?: string | undefined;
}

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Take fields over from other managers instead of failing with a conflict. Default false. */
  readonly force?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface RawPage {
  readonly items: readonly unknown[];
  readonly resourceVersion: string;
  readonly continue?: string;
}

interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

const pageSize = 500;

export class ResourceClient<T extends KubeObject> {
  readonly resource: ApiResource;
  readonly #api: KubeApi;
  readonly #parse: (raw: unknown) => T;

  constructor(options: { api: KubeApi; resource: ApiResource; parse?: (raw: unknown) => T }) {
    this.#api = options.api;
    this.resource = options.resource;
    this.#parse = options.parse ?? trust<T>;
  }

  /** Parses a raw object. Items of a list lack apiVersion and kind: they are added, as a single read would return them. */
  parse(raw: unknown): T {
    if (typeof raw !== "object" || raw === null) return this.#parse(raw);
    return this.#parse({ apiVersion: apiVersionOf(this.resource), kind: this.resource.kind, ...raw });
  }

  /** The object, or undefined if there is none. */
  async get(name: string, namespace?: string, options: Cancellable = {}): Promise<T | undefined> {
    try {
      const path = resourcePath(this.resource, { namespace, name });
      return this.parse(await this.#api.request({ method: "GET", path, signal: options.signal }));
    } catch (error) {
      if (isApiError(error, "NotFound")) return undefined;
      throw error;
    }
  }

  /** All objects, in pages of 500. Starts over once if the pages expire under way. */
  async list(options: Selection & Cancellable = {}): Promise<T[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const objects: T[] = [];
        let page: RawPage | undefined;
        do {
          page = await this.listPage({ ...options, continue: page?.continue });
          objects.push(...page.items.map((raw) => this.parse(raw)));
        } while (page.continue !== undefined);
        return objects;
      } catch (error) {
        if (!(error instanceof ApiError && error.isExpired) || attempt > 1) throw error;
      }
    }
  }

  /** One page of the newest state, unparsed: for reflectors. */
  async listPage(options: Selection & Cancellable & { continue?: string | undefined }): Promise<RawPage> {
    const { namespace, fieldSelector, labelSelector, signal } = options;
    const raw = await this.#api.request({
      method: "GET",
      path: resourcePath(this.resource, { namespace }),
      query: { limit: pageSize, continue: options.continue, fieldSelector, labelSelector },
      signal,
    });
    return parsePage(raw);
  }

  /** Everything that happens after `resourceVersion`. */
  watch(
    options: Selection & Cancellable & { resourceVersion: string; timeoutSeconds: number },
  ): AsyncIterable<WatchEvent> {
    const { namespace, fieldSelector, labelSelector, resourceVersion, timeoutSeconds, signal } = options;
    return this.#api.watch({
      path: resourcePath(this.resource, { namespace }),
      query: { resourceVersion, timeoutSeconds, fieldSelector, labelSelector },
      signal,
    });
  }

  /** Creates; fails with `AlreadyExists`. */
  async create<D extends Draft>(object: D, options: Cancellable & { fieldManager?: string } = {}): Promise<T> {
    const { namespace } = object.metadata;
    return await this.#send({
      method: "POST",
      path: resourcePath(this.resource, { namespace }),
      query: { fieldManager: options.fieldManager },
      body: this.#typed(object),
      signal: options.signal,
    });
  }

  /** Server-side apply: creates the object or makes exactly these fields ours. */
  async apply<D extends Draft>(object: D, options: ApplyOptions): Promise<T> {
    return await this.#apply(object, options, undefined);
  }

  /**
   * Server-side apply to the status subresource; `NotFound` if there is no object. Only metadata's name, namespace and
   * resourceVersion and the status are sent. With a resourceVersion, an object that has changed since is refused with
   * `Conflict`. A uid is not sent: API servers ignore it here, so it protects from no namesake (StatusWriter does).
   */
  async applyStatus<D extends Draft & { status?: unknown }>(object: D, options: ApplyOptions): Promise<T> {
    const { name, namespace, resourceVersion }: Draft["metadata"] & { resourceVersion?: unknown } = object.metadata;
    const metadata = { name, namespace, ...(resourceVersion !== undefined && { resourceVersion }) };
    return await this.#apply({ metadata, status: object.status }, options, "status");
  }

  /** JSON merge patch. With `metadata.resourceVersion` in the patch it fails with `Conflict` if the object has changed. */
  async mergePatch(
    name: string,
    namespace: string | undefined,
    patch: object,
    options: Cancellable & { subresource?: string; fieldManager?: string } = {},
  ): Promise<T> {
    return await this.#send({
      method: "PATCH",
      path: resourcePath(this.resource, { namespace, name, subresource: options.subresource }),
      query: { fieldManager: options.fieldManager },
      contentType: "application/merge-patch+json",
      body: patch,
      signal: options.signal,
    });
  }

  /** Deletes; false if there was nothing. With `uid` or `resourceVersion`, another object fails with `Conflict`. */
  async delete(
    name: string,
    namespace?: string,
    options: Cancellable & {
      uid?: string | undefined;
      resourceVersion?: string | undefined;
      propagationPolicy?: "Foreground" | "Background" | "Orphan";
    } = {},
  ): Promise<boolean> {
    const { uid, resourceVersion, propagationPolicy, signal } = options;
    const preconditions = { uid, resourceVersion };
    try {
      await this.#api.request({
        method: "DELETE",
        path: resourcePath(this.resource, { namespace, name }),
        body: { apiVersion: "v1", kind: "DeleteOptions", preconditions, propagationPolicy },
        signal,
      });
      return true;
    } catch (error) {
      if (isApiError(error, "NotFound")) return false;
      throw error;
    }
  }

  async #apply<D extends Draft>(object: D, options: ApplyOptions, subresource: string | undefined): Promise<T> {
    const { namespace, name = "" } = object.metadata;
    return await this.#send({
      method: "PATCH",
      path: resourcePath(this.resource, { namespace, name, subresource }),
      query: { fieldManager: options.fieldManager, force: options.force ?? false },
      // JSON is YAML, and YAML is the media type that every API server since 1.16 takes for an apply.
      contentType: "application/apply-patch+yaml",
      body: this.#typed(object),
      signal: options.signal,
    });
  }

  async #send(request: ApiRequest): Promise<T> {
    return this.parse(await this.#api.request(request));
  }

  #typed(object: Draft): object {
    return { ...object, apiVersion: apiVersionOf(this.resource), kind: this.resource.kind };
  }
}

function parsePage(raw: unknown): RawPage {
  const items: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "items") : undefined;
  const metadata: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "metadata") : undefined;
  const token: unknown =
    typeof metadata === "object" && metadata !== null ? Reflect.get(metadata, "continue") : undefined;
  return {
    items: Array.isArray(items) ? items : [],
    resourceVersion: resourceVersionOf(raw) ?? "",
    ...(typeof token === "string" && token !== "" && { continue: token }),
  };
}

/** The boundary for resources without a parser: the API server has validated the object against the same schema. */
function trust<T extends KubeObject>(raw: unknown): T {
  const metadata: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "metadata") : undefined;
  if (typeof metadata !== "object" || metadata === null) {
    throw new ApiError("InternalError", "the API server returned something that is no object", { status: 500 });
  }
  return raw as T;
}
