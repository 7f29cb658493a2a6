// Watches the Contents of this node: starts each once, one a guest, and feeds changes to those under way at once.

import type { ContentSpec, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { Store, StoreChange } from "../kube/store.ts";
import type { Logger } from "../runtime/log.ts";
import { type Admission, admit } from "./content-admission.ts";
import { ContentControl } from "./content-control.ts";

/** Carries out what was decided; resolves when its end is written or nobody is left to read it. */
export interface ContentWorker<D> {
  start(content: DomainSnapshotContent, domain: D, control: ContentControl): Promise<void>;
  refuse(content: DomainSnapshotContent, admission: Extract<Admission, { verdict: "Refuse" }>): Promise<void>;
  /** An agent before us began this one, and its journal is here. */
  recover(interrupted: InterruptedContent, domain: D | undefined, control: ContentControl): Promise<void>;
}

/** What a journal says of a Content, with no API server to ask. */
export interface InterruptedContent {
  readonly uid: string;
  /** "namespace/name"; empty if the journal cannot be read. */
  readonly domainKey: string;
  readonly hold: ContentSpec["hold"];
}

interface Run {
  readonly control: ContentControl;
  readonly domainKey: string;
  readonly ended: Promise<void>;
}

export class ContentReconciler<D> {
  readonly #store: Store<DomainSnapshotContent>;
  readonly #domain: (key: string) => D | undefined;
  readonly #worker: ContentWorker<D>;
  readonly #log: Logger;
  readonly #runs = new Map<string, Run>();
  /** Ended by us, while the store may still show them as under way. */
  readonly #ended = new Set<string>();
  #unsubscribe: () => void = () => {};
  #stopping = false;

  constructor(options: {
    store: Store<DomainSnapshotContent>;
    domain: (key: string) => D | undefined;
    worker: ContentWorker<D>;
    log: Logger;
  }) {
    this.#store = options.store;
    this.#domain = options.domain;
    this.#worker = options.worker;
    this.#log = options.log;
  }

  /**
   * Begins. What an agent before us began is taken up at once, since a held guest and its deadline cannot wait for an API
   * server; then everything that the store holds is considered.
   */
  start(interrupted: readonly InterruptedContent[]): void {
    for (const one of interrupted) {
      const control = new ContentControl({ desired: "Held", hold: one.hold });
      this.#track(one.uid, one.domainKey, control, () =>
        this.#worker.recover(one, this.#domain(one.domainKey), control),
      );
    }
    this.#unsubscribe = this.#store.subscribe((change) => this.#changed(change));
    void this.#store.synced.then(() => {
      const present = new Set(this.#store.list().map(({ metadata }) => metadata.uid));
      for (const { uid } of interrupted) if (!present.has(uid)) this.#runs.get(uid)?.control.abort();
    });
  }

  /** Takes nothing new, and waits for what runs: the worker was told to leave, and decides what becomes of a hold. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#unsubscribe();
    await Promise.all([...this.#runs.values()].map((run) => run.ended));
  }

  #changed(change: StoreChange<DomainSnapshotContent>): void {
    const { object } = change;
    const uid = object.metadata.uid ?? change.key;
    const run = this.#runs.get(uid);
    if (change.type === "Deleted") {
      // Deleted, or absent from a complete list. An API server that cannot be reached never gets here.
      run?.control.abort();
      this.#ended.delete(uid);
      return;
    }
    if (run === undefined) {
      this.#consider(object);
      return;
    }
    run.control.update(object.spec);
    if (object.metadata.deletionTimestamp !== undefined) run.control.abort();
  }

  #consider(content: DomainSnapshotContent): void {
    const uid = content.metadata.uid ?? content.metadata.name;
    if (this.#stopping || this.#ended.has(uid)) return;
    const domainKey = `${content.spec.domain.namespace}/${content.spec.domain.name}`;
    const domain = this.#domain(domainKey);
    const admission = admit(content, {
      hasDomain: domain !== undefined,
      domainIsTaken: [...this.#runs.values()].some((run) => run.domainKey === domainKey),
    });
    switch (admission.verdict) {
      case "Ignore":
      case "Wait":
        return;
      case "Refuse":
        this.#track(uid, "", new ContentControl(content.spec), () => this.#worker.refuse(content, admission));
        return;
      case "Start": {
        if (domain === undefined) return;
        const control = new ContentControl(content.spec);
        this.#track(uid, domainKey, control, () => this.#worker.start(content, domain, control));
        return;
      }
    }
  }

  #track(uid: string, domainKey: string, control: ContentControl, work: () => Promise<void>): void {
    const ended = work()
      .catch((error: unknown) => this.#log.error({ err: error, content: uid }, "a content could not be carried out"))
      .then(() => {
        this.#runs.delete(uid);
        this.#ended.add(uid);
        this.#considerWaiting();
      });
    this.#runs.set(uid, { control, domainKey, ended });
  }

  /** Oldest first, as the operator orders them. */
  #considerWaiting(): void {
    const created = (content: DomainSnapshotContent) => content.metadata.creationTimestamp ?? "";
    for (const content of this.#store.list().toSorted((a, b) => (created(a) < created(b) ? -1 : 1))) {
      const uid = content.metadata.uid ?? content.metadata.name;
      if (!this.#runs.has(uid)) this.#consider(content);
    }
  }
}
