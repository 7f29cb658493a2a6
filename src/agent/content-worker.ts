// Carries one Content out with the engine and writes its status; knows files and the API, decides nothing.

import { existsSync } from "node:fs";
import type { ContentStatus, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { isApiError } from "../kube/api-error.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import type { Store } from "../kube/store.ts";
import { type Clock, microTime } from "../runtime/clock.ts";
import { Failure, userReason } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { settleJournal } from "../snapshot/interrupted.ts";
import { runSnapshot, type SnapshotJob } from "../snapshot/run.ts";
import type { ContentControl } from "./content-control.ts";
import type { ContentWorker } from "./content-reconciler.ts";
import { contentUrgency, refusedStatus } from "./content-status.ts";
import type { DomainPublisher } from "./domain-publisher.ts";
import { fieldManager } from "./domain-writer.ts";
import { StatusReporter } from "./status-reporter.ts";
import { switchedImages } from "./switched-images.ts";

export interface EngineContentWorkerOptions {
  readonly client: ResourceClient<DomainSnapshotContent>;
  readonly store: Store<DomainSnapshotContent>;
  readonly journalDirectory: string;
  readonly lockDirectory: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Ends status writing: the process is leaving and cannot wait any longer. */
  readonly signal: AbortSignal;
}

export class EngineContentWorker implements ContentWorker<DomainPublisher> {
  readonly #options: EngineContentWorkerOptions;

  constructor(options: EngineContentWorkerOptions) {
    this.#options = options;
  }

  async start(content: DomainSnapshotContent, domain: DomainPublisher, control: ContentControl): Promise<void> {
    const log = this.#options.log.child({ content: content.metadata.name });
    const reporter = this.#reporter(content, log);
    log.info({ domain: `${content.spec.domain.namespace}/${content.spec.domain.name}` }, "snapshot begins");
    let moved = "";
    const onReport = (report: ContentStatus) => {
      domain.snapshotReported(report);
      reporter.report(report);
      const images = switchedImages(report, domain.nodeDomain.snapshotDirectory);
      const key = JSON.stringify([...images]);
      if (key === moved || images.size === 0) return;
      moved = key;
      domain.imagesMoved(images);
    };
    const report = await this.#run(content, { domain, control, onReport, log });
    onReport(report);
    log.info({ phase: report.phase, pause: report.pause, error: report.error }, "snapshot ended");
    await reporter.settled();
    await settleJournal({ directory: this.#options.journalDirectory, uid: snapshotJob(content, domain).uid });
  }

  /** The guest is given back as soon as the engine is done with it, whoever still waits for the status. */
  async #run(
    content: DomainSnapshotContent,
    context: {
      domain: DomainPublisher;
      control: ContentControl;
      onReport: (report: ContentStatus) => void;
      log: Logger;
    },
  ): Promise<ContentStatus> {
    const { domain, control, onReport, log } = context;
    const { journalDirectory, lockDirectory, clock, signal } = this.#options;
    using lent = await domain.lend(content.metadata.name);
    try {
      return await runSnapshot(snapshotJob(content, domain), {
        ...(lent.guest !== undefined && { guest: lent.guest }),
        control,
        journalDirectory,
        lockDirectory,
        onReport,
        clock,
        log,
        signal,
      });
    } catch (error) {
      const failure = Failure.from(error);
      log.error({ err: error }, "the engine threw");
      return refusedStatus(userReason(failure), failure.message, microTime(clock.now()));
    }
  }

  async refuse(
    content: DomainSnapshotContent,
    refusal: { readonly reason: Parameters<typeof refusedStatus>[0]; readonly message: string },
  ): Promise<void> {
    const log = this.#options.log.child({ content: content.metadata.name });
    log.warn({ reason: refusal.reason, detail: refusal.message }, "content refused");
    const reporter = this.#reporter(content, log);
    reporter.report({
      ...content.status,
      ...refusedStatus(refusal.reason, refusal.message, microTime(this.#options.clock.now())),
    });
    await reporter.settled();
  }

  /**
   * The seam for taking a snapshot up where another agent left it, by its journal. Until the engine can, it ends as
   * AgentLost and is never started a second time; its journal and its files stay for a person to look at.
   */
  async recover(content: DomainSnapshotContent): Promise<void> {
    await this.refuse(content, {
      reason: "AgentLost",
      message: `the agent was restarted during this snapshot; look whether the guest runs, and at the journal of ${content.metadata.uid} on ${content.spec.nodeName}`,
    });
  }

  hasJournal(uid: string): boolean {
    return existsSync(`${this.#options.journalDirectory}/${uid}.jsonl`);
  }

  #reporter(content: DomainSnapshotContent, log: Logger): StatusReporter<ContentStatus> {
    const { client, store, clock, random, signal } = this.#options;
    const { name, uid } = content.metadata;
    const current = () => store.get(name);
    return new StatusReporter<ContentStatus>({
      write: async (status, writeSignal) => {
        const observedGeneration = current()?.metadata.generation ?? content.metadata.generation;
        const whole = { ...status, ...(observedGeneration !== undefined && { observedGeneration }) };
        const options = { fieldManager, force: true, signal: writeSignal };
        store.put(await client.applyStatus({ metadata: { name, uid }, status: whole }, options));
      },
      urgency: contentUrgency,
      // A uid in an apply makes a namesake a Conflict.
      isFinal: (error) =>
        isApiError(error, "NotFound") || (isApiError(error, "Conflict") && current()?.metadata.uid !== uid),
      onError: (error) => log.warn({ error: String(error) }, "cannot write the status; trying again"),
      clock,
      random,
      signal,
    });
  }
}

function snapshotJob(content: DomainSnapshotContent, domain: DomainPublisher): SnapshotJob {
  const { spec } = content;
  return {
    uid: content.metadata.uid ?? spec.snapshotRef.uid,
    namespace: spec.snapshotRef.namespace,
    name: spec.snapshotRef.name,
    plan: {
      capture: spec.capture,
      memory: spec.memory,
      disks: spec.disks,
      quiesce: spec.quiesce,
      hold: spec.hold,
      ...(spec.description !== undefined && { description: spec.description }),
    },
    domain: domain.nodeDomain,
    expectedUuid: spec.domain.uuid,
  };
}
