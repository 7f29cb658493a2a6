// Events (events.k8s.io/v1) for people who look at an object. Repetitions within six minutes count up a series instead of
// making new objects; a chatty object is throttled. Never throws and never keeps its caller waiting.

import { randomBytes } from "node:crypto";
import { type Clock, microTime } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { isApiError } from "./api-error.ts";
import { withDeadline } from "./deadline.ts";
import type { KubeApi } from "./kube-client.ts";
import type { ApiResource, KubeObject } from "./kube-object.ts";
import { ResourceClient } from "./resource-client.ts";
import { TokenBucket } from "./token-bucket.ts";

export const events: ApiResource = {
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  plural: "events",
  namespaced: true,
};

export interface EventRecord {
  /** What it is about; needs apiVersion and kind. Events of cluster-scoped objects live in namespace "default". */
  readonly regarding: KubeObject;
  readonly related?: KubeObject | undefined;
  readonly type: "Normal" | "Warning";
  /** Why, CamelCase, at most 128 characters. */
  readonly reason: string;
  /** What was done or failed, CamelCase. */
  readonly action: string;
  /** For people; cut at 1 KiB. */
  readonly note: string;
}

interface Series {
  name: string;
  namespace: string;
  count: number;
  lastSeenAt: number;
}

/** client-go's and kube-rs's figure. */
const seriesMilliseconds = 6 * 60_000;
const burstPerObject = 25;
const refillMilliseconds = 5 * 60_000;
const maxNoteLength = 1_024;
const maxPending = 1_000;
const writeTimeoutMilliseconds = 10_000;

export class EventRecorder {
  readonly #events: ResourceClient<KubeObject>;
  readonly #component: string;
  readonly #instance: string;
  readonly #clock: Clock;
  readonly #log: Logger | undefined;
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, { readonly bucket: TokenBucket; usedAt: number }>();
  #pending = 0;
  #tail: Promise<void> = Promise.resolve();

  /** `component` is the reporting controller ("domainsnapshot.io/operator"), `instance` the process (the pod's name). */
  constructor(options: { client: KubeApi; component: string; instance: string; clock: Clock; log?: Logger }) {
    this.#events = new ResourceClient({ api: options.client, resource: events });
    this.#component = options.component;
    this.#instance = options.instance.slice(0, 128);
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Writes in the background, in order. Dropped if the object is too chatty or the API server does not keep up. */
  record(event: EventRecord): void {
    this.#expire();
    if (this.#pending >= maxPending || !this.#mayWrite(event.regarding)) return;
    this.#pending += 1;
    this.#tail = this.#tail
      .then(() => this.#write(event))
      .catch((error: unknown) => this.#log?.warn({ err: error, reason: event.reason }, "cannot write an event"))
      .finally(() => {
        this.#pending -= 1;
      });
  }

  /** Resolves when everything recorded so far is written or given up, each within ten seconds. */
  flush(): Promise<void> {
    return this.#tail;
  }

  async #write(event: EventRecord): Promise<void> {
    await withDeadline(
      { clock: this.#clock, milliseconds: writeTimeoutMilliseconds, what: "an event" },
      async (signal) => {
        const id = identityOf(event);
        const series = this.#series.get(id);
        if (series === undefined || !(await this.#countUp(series, signal))) {
          this.#series.set(id, await this.#create(event, signal));
        }
      },
    );
  }

  async #create(event: EventRecord, signal: AbortSignal): Promise<Series> {
    const { regarding, related, type, reason, action, note } = event;
    const namespace = regarding.metadata.namespace ?? "default";
    const name = `${regarding.metadata.name.slice(0, 230)}.${randomBytes(8).toString("hex")}`;
    const body = {
      metadata: { name, namespace },
      eventTime: microTime(this.#clock.now()),
      reportingController: this.#component,
      reportingInstance: this.#instance,
      regarding: referenceTo(regarding),
      ...(related && { related: referenceTo(related) }),
      type,
      reason: reason.slice(0, 128),
      action: action.slice(0, 128),
      note: note.length > maxNoteLength ? `${note.slice(0, maxNoteLength - 3)}...` : note,
    };
    await this.#events.create(body, { signal });
    return { name, namespace, count: 1, lastSeenAt: this.#clock.monotonic() };
  }

  /** False if the event is gone from the server: events live for an hour, or are deleted by hand. */
  async #countUp(series: Series, signal: AbortSignal): Promise<boolean> {
    const count = series.count + 1;
    const patch = { series: { count, lastObservedTime: microTime(this.#clock.now()) } };
    try {
      await this.#events.mergePatch(series.name, series.namespace, patch, { signal });
    } catch (error) {
      if (isApiError(error, "NotFound")) return false;
      throw error;
    }
    series.count = count;
    series.lastSeenAt = this.#clock.monotonic();
    return true;
  }

  #mayWrite(regarding: KubeObject): boolean {
    const id = regarding.metadata.uid ?? `${regarding.kind}/${regarding.metadata.namespace}/${regarding.metadata.name}`;
    const now = this.#clock.monotonic();
    const known = this.#buckets.get(id) ?? {
      bucket: new TokenBucket({ clock: this.#clock, burst: burstPerObject, refillMilliseconds }),
      usedAt: now,
    };
    known.usedAt = now;
    this.#buckets.set(id, known);
    return known.bucket.tryTake();
  }

  /** Forgets series that ended, and buckets that are full again. */
  #expire(): void {
    const now = this.#clock.monotonic();
    for (const [id, series] of this.#series) {
      if (now - series.lastSeenAt > seriesMilliseconds) this.#series.delete(id);
    }
    for (const [id, { usedAt }] of this.#buckets) {
      if (now - usedAt > burstPerObject * refillMilliseconds) this.#buckets.delete(id);
    }
  }
}

function referenceTo(object: KubeObject): Record<string, string | undefined> {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  return { apiVersion: object.apiVersion, kind: object.kind, name, namespace, uid, resourceVersion };
}

/** Two events with the same identity are one series. The note belongs to it: a new text is news. */
function identityOf(event: EventRecord): string {
  const ids = [event.regarding, event.related].map((object) => [
    object?.kind,
    object?.metadata.namespace,
    object?.metadata.name,
    object?.metadata.uid,
  ]);
  return JSON.stringify([ids, event.type, event.reason, event.action, event.note]);
}
