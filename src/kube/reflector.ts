// Keeps a store equal to the API server's state: a paged list, then watches, for ever. One state machine, after kube-rs's
// watcher: each failure names the state to fall back to, and why.

import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { ApiError } from "./api-error.ts";
import { Backoff, watchBackoff } from "./backoff.ts";
import { type KubeObject, objectKey } from "./kube-object.ts";
import type { ResourceClient, Selection } from "./resource-client.ts";
import type { Store } from "./store.ts";
import { resourceVersionOf, type WatchEvent } from "./watch-event.ts";

type State =
  /** Nothing is known, or what is known cannot be continued. */
  | { readonly at: "Empty" }
  /** Within a list; `items` are those of the pages so far. The store still shows the old state. */
  | { readonly at: "InitPage"; readonly items: readonly unknown[]; readonly continue?: string }
  /** The store is complete as of `resourceVersion`; no watch is open. */
  | { readonly at: "Listed"; readonly resourceVersion: string }
  /** A watch is open; `resourceVersion` is that of the last event or bookmark. */
  | {
      readonly at: "Watching";
      readonly resourceVersion: string;
      readonly events: AsyncIterator<WatchEvent>;
      readonly openedAt: number;
    };

/** API servers end watches after 5 to 10 minutes anyhow; asking for less, jittered, spreads the reconnects of all clients. */
const watchTimeoutSeconds = 290;
/** A watch that ends sooner by itself counts as a failure, lest an unwell server be asked in a tight loop. */
const shortWatchMilliseconds = 5_000;

export class Reflector<T extends KubeObject> {
  readonly #client: ResourceClient<T>;
  readonly #selection: Selection;
  readonly #store: Store<T>;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Logger;
  readonly #backoff: Backoff;
  #lastContactAt: number;

  constructor(
    options: Selection & {
      client: ResourceClient<T>;
      store: Store<T>;
      clock: Clock;
      random: () => number;
      log: Logger;
    },
  ) {
    const { namespace, fieldSelector, labelSelector } = options;
    this.#client = options.client;
    this.#selection = { namespace, fieldSelector, labelSelector };
    this.#store = options.store;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log.child({ reflector: options.client.resource.plural });
    this.#backoff = new Backoff({ clock: options.clock, random: options.random, ...watchBackoff });
    this.#lastContactAt = options.clock.monotonic();
  }

  /** Monotonic time of the last answer, event or bookmark. More than some minutes ago: the cache is stale. */
  get lastContactAt(): number {
    return this.#lastContactAt;
  }

  /** Runs until the signal aborts, then resolves. Every error is retried; none ends it. */
  async run(signal: AbortSignal): Promise<void> {
    let state: State = { at: "Empty" };
    while (!signal.aborted) {
      let failure: unknown;
      const before: State = state;
      try {
        state = await this.#step(before, signal);
        this.#lastContactAt = this.#clock.monotonic();
        if (!this.#endedTooSoon(before, state)) continue;
      } catch (error) {
        if (signal.aborted) break;
        failure = error;
        state = fallBack(before, error);
      }
      const delay = this.#backoff.nextMilliseconds();
      this.#log.warn({ err: failure, from: before.at, to: state.at, delay }, "the watch failed; it will be retried");
      await this.#clock.sleep(delay, signal).catch(() => undefined);
    }
    if (state.at === "Watching") await state.events.return?.().catch(() => undefined);
  }

  async #step(state: State, signal: AbortSignal): Promise<State> {
    switch (state.at) {
      case "Empty":
        return { at: "InitPage", items: [] };
      case "InitPage": {
        const page = await this.#client.listPage({ ...this.#selection, continue: state.continue, signal });
        const items = [...state.items, ...page.items];
        if (page.continue !== undefined) return { at: "InitPage", items, continue: page.continue };
        this.#replace(items, page.resourceVersion);
        return { at: "Listed", resourceVersion: page.resourceVersion };
      }
      case "Listed": {
        const { resourceVersion } = state;
        const timeoutSeconds = Math.round(watchTimeoutSeconds * (0.8 + 0.2 * this.#random()));
        const watch = this.#client.watch({ ...this.#selection, resourceVersion, timeoutSeconds, signal });
        const events = watch[Symbol.asyncIterator]();
        return { at: "Watching", resourceVersion, events, openedAt: this.#clock.monotonic() };
      }
      case "Watching": {
        const next = await state.events.next();
        // The server ended the watch in good order: go on from where it ended.
        if (next.done) return { at: "Listed", resourceVersion: state.resourceVersion };
        return { ...state, resourceVersion: this.#apply(next.value) ?? state.resourceVersion };
      }
    }
  }

  /** Applies one event and returns the version it brings the store to. */
  #apply(event: WatchEvent): string | undefined {
    switch (event.type) {
      case "ERROR":
        throw event.error;
      case "BOOKMARK":
        return event.resourceVersion === "" ? undefined : event.resourceVersion;
      case "DELETED": {
        const version = resourceVersionOf(event.object);
        const key = rawKey(event.object);
        if (key !== undefined) this.#store.applyDeletion(key, version);
        return version;
      }
      case "ADDED":
      case "MODIFIED": {
        const object = this.#parse(event.object);
        if (object !== undefined) this.#store.applyChange(object);
        return resourceVersionOf(event.object);
      }
    }
  }

  #replace(items: readonly unknown[], resourceVersion: string): void {
    const objects: T[] = [];
    const keep = new Set<string>();
    for (const raw of items) {
      const object = this.#parse(raw);
      const key = rawKey(raw);
      if (object !== undefined) objects.push(object);
      else if (key !== undefined) keep.add(key);
    }
    this.#store.replace(objects, resourceVersion, { keep });
  }

  /** An object we cannot parse must neither stop the others nor look deleted: the store keeps its last good version. */
  #parse(raw: unknown): T | undefined {
    try {
      return this.#client.parse(withoutManagedFields(raw));
    } catch (error) {
      this.#log.error({ err: error, key: rawKey(raw) }, "cannot parse an object; it is left out");
      return undefined;
    }
  }

  #endedTooSoon(before: State, after: State): boolean {
    const ended = before.at === "Watching" && after.at === "Listed";
    return ended && this.#clock.monotonic() - before.openedAt < shortWatchMilliseconds;
  }
}

/** Where to go on after a failure. */
function fallBack(state: State, error: unknown): State {
  switch (state.at) {
    // Pages expire together, and a list begun anew costs little: only a whole one may become the store's state.
    case "Empty":
    case "InitPage":
      return { at: "Empty" };
    case "Listed":
    case "Watching": {
      // The history after our version is gone (410), or our version is in the server's future (etcd was restored).
      const isLost = error instanceof ApiError && (error.isExpired || error.isResourceVersionTooLarge);
      // Anything else (reset, silence, 500, 429): what we have is true as of that version; continue from there.
      return isLost ? { at: "Empty" } : { at: "Listed", resourceVersion: state.resourceVersion };
    }
  }
}

/** managedFields often outweigh the object, and nobody reads them from a cache. */
function withoutManagedFields(raw: unknown): unknown {
  if (typeof raw !== "object" || raw === null || !("metadata" in raw)) return raw;
  const { metadata } = raw;
  if (typeof metadata !== "object" || metadata === null) return raw;
  return { ...raw, metadata: { ...metadata, managedFields: undefined } };
}

function rawKey(raw: unknown): string | undefined {
  const metadata: unknown = typeof raw === "object" && raw !== null ? Reflect.get(raw, "metadata") : undefined;
  if (typeof metadata !== "object" || metadata === null) return undefined;
  const [name, namespace]: unknown[] = [Reflect.get(metadata, "name"), Reflect.get(metadata, "namespace")];
  if (typeof name !== "string") return undefined;
  return objectKey({ metadata: { name, namespace: typeof namespace === "string" ? namespace : undefined } });
}
