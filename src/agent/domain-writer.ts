// Keeps one Domain object equal to what the agent sees: writes only differences, at most once a second.

import type { Domain, DomainStatus } from "../api/v1alpha1/domain.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import type { Store } from "../kube/store.ts";
import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { type DomainSight, domainStatus, showsStatus } from "./domain-status.ts";
import { StatusReporter } from "./status-reporter.ts";

export const fieldManager = "domain-snapshot-agent";

/** A wanted Domain: who it is, and what is seen of it. */
interface Wanted {
  readonly uuid: string;
  readonly sight: DomainSight;
}

export interface DomainWriterOptions {
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  readonly client: ResourceClient<Domain>;
  /** The Domains of this node. */
  readonly store: Store<Domain>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export class DomainWriter {
  readonly #options: DomainWriterOptions;
  readonly #key: string;
  readonly #reporter: StatusReporter<Wanted>;
  #wanted: Wanted | undefined;

  constructor(options: DomainWriterOptions) {
    this.#options = options;
    this.#key = `${options.namespace}/${options.name}`;
    const { clock, random, log, signal } = options;
    this.#reporter = new StatusReporter<Wanted>({
      write: (wanted, writeSignal) => this.#write(wanted, writeSignal),
      // Compared with the server's state, not with what was last written: a Domain that somebody deleted or that the
      // operator marked AgentLost is put right as soon as the watch shows it.
      urgency: (_written, wanted) => (this.#isShown(wanted) ? "never" : "eventually"),
      isFinal: () => false,
      onError: (error) =>
        log.warn({ domain: this.#key, error: String(error) }, "cannot write the Domain; trying again"),
      clock,
      random,
      signal,
      intervalMilliseconds: 1000,
    });
    const unsubscribe = options.store.subscribe((change) => {
      if (change.key === this.#key && this.#wanted !== undefined) this.#reporter.report(this.#wanted);
    });
    signal.addEventListener("abort", unsubscribe, { once: true });
  }

  /** The UUID that the API knows of this Domain, for guests that have not been seen since the agent started. */
  get publishedUuid(): string | undefined {
    return this.#options.store.get(this.#key)?.spec.uuid;
  }

  /** Takes what is seen now; returns at once. */
  publish(uuid: string, sight: DomainSight): void {
    this.#wanted = { uuid, sight };
    this.#reporter.report(this.#wanted);
  }

  /** Resolves when the server shows the newest sight. */
  settled(): Promise<void> {
    return this.#reporter.settled();
  }

  #isShown(wanted: Wanted): boolean {
    const actual = this.#options.store.get(this.#key);
    if (actual === undefined || actual.spec.uuid !== wanted.uuid || actual.spec.nodeName !== this.#options.nodeName) {
      return false;
    }
    return showsStatus(actual, this.#status(wanted, actual));
  }

  #status(wanted: Wanted, actual: Domain | undefined): DomainStatus {
    return domainStatus(wanted.sight, actual, this.#options.clock.now());
  }

  async #write(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const { namespace, name, nodeName, client, store } = this.#options;
    await store.synced;
    let actual = store.get(this.#key) ?? (await client.get(name, namespace, { signal }));
    if (actual !== undefined) this.#refuseForeign(actual);
    if (actual?.spec.uuid !== wanted.uuid || actual.spec.nodeName !== nodeName) {
      const metadata = {
        namespace,
        name,
        ...(actual !== undefined && { resourceVersion: actual.metadata.resourceVersion }),
      };
      actual = await client.apply(
        { metadata, spec: { nodeName, uuid: wanted.uuid } },
        { fieldManager, force: true, signal },
      );
      store.put(actual);
    }
    const status = this.#status(wanted, actual);
    if (showsStatus(actual, status)) return;
    store.put(
      await client.applyStatus({ metadata: { namespace, name }, status }, { fieldManager, force: true, signal }),
    );
  }

  /** A Domain of another node whose agent still vouches for it is not taken over: two guests would share one name. */
  #refuseForeign(actual: Domain): void {
    if (actual.spec.nodeName === this.#options.nodeName) return;
    const vouched = actual.status?.conditions?.some((other) => other.type === "Ready" && other.status === "True");
    if (!vouched) return;
    throw new Failure(
      "DomainElsewhere",
      `Domain ${this.#key} belongs to node ${actual.spec.nodeName}; remove it from one of the two agents' configurations`,
    );
  }
}
