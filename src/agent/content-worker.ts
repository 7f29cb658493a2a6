// Carries one Content out with the engine and writes its status; knows files and the API, decides nothing.

import type { ContentStatus, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { isApiError } from "../kube/api-error.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import type { Store } from "../kube/store.ts";
import { type Clock, microTime } from "../runtime/clock.ts";
import { Failure, userReason } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import type { OnLeave } from "../snapshot/carry-out.ts";
import { settleJournal } from "../snapshot/interrupted.ts";
import { recoverSnapshot } from "../snapshot/recover.ts";
import { type RunOptions, runSnapshot, type SnapshotJob } from "../snapshot/run.ts";
import type { ContentControl } from "./content-control.ts";
import type { ContentWorker, InterruptedContent } from "./content-reconciler.ts";
import { contentUrgency, isTerminal, refusedStatus } from "./content-status.ts";
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
  /** The process was asked to leave. */
  readonly leaving: AbortSignal;
  /** What becomes of a hold then. */
  readonly onLeave: OnLeave;
  /** Ends status writing: the process cannot wait any longer. */
  readonly signal: AbortSignal;
}

/** A namesake is another object: nothing is written to it. */
const replaced = new Failure("DomainNotFound", "the Content is gone");
const busyMilliseconds = 1000;

export class EngineContentWorker implements ContentWorker<DomainPublisher> {
  readonly #options: EngineContentWorkerOptions;

  constructor(options: EngineContentWorkerOptions) {
    this.#options = options;
  }

  async start(content: DomainSnapshotContent, domain: DomainPublisher, control: ContentControl): Promise<void> {
    const uid = uidOf(content);
    const log = this.#options.log.child({ content: content.metadata.name });
    log.info({ domain: `${content.spec.domain.namespace}/${content.spec.domain.name}` }, "snapshot begins");
    await this.#carryOut(uid, { domain, control, log }, async (options) => {
      return await runSnapshot(snapshotJob(content, domain), options);
    });
  }

  async refuse(
    content: DomainSnapshotContent,
    refusal: { readonly reason: Parameters<typeof refusedStatus>[0]; readonly message: string },
  ): Promise<void> {
    const log = this.#options.log.child({ content: content.metadata.name });
    log.warn({ reason: refusal.reason, detail: refusal.message }, "content refused");
    const reporter = this.#reporter(uidOf(content), log);
    reporter.report({
      ...content.status,
      ...refusedStatus(refusal.reason, refusal.message, microTime(this.#options.clock.now())),
    });
    await reporter.settled();
  }

  /** Takes the snapshot up by its journal; while `kubectl-dsnap local` works on the same guest, waits for it. */
  async recover(
    { uid }: InterruptedContent,
    domain: DomainPublisher | undefined,
    control: ContentControl,
  ): Promise<void> {
    const log = this.#options.log.child({ uid });
    log.info("a snapshot that an agent before this one began is taken up");
    await this.#carryOut(uid, { domain, control, log }, async (options) => {
      const report = await this.#whenFree(() => recoverSnapshot(uid, options));
      const message = "the agent was ended before it touched anything; create the snapshot again";
      return report ?? refusedStatus("AgentLost", message, microTime(this.#options.clock.now()));
    });
  }

  /** From the first report to the journal's end. What is handed over to the next agent keeps journal and status. */
  async #carryOut(
    uid: string,
    context: { domain: DomainPublisher | undefined; control: ContentControl; log: Logger },
    work: (options: RunOptions) => Promise<ContentStatus>,
  ): Promise<void> {
    const { domain, control, log } = context;
    const { journalDirectory, lockDirectory, clock, leaving, onLeave } = this.#options;
    const reporter = this.#reporter(uid, log);
    const onReport = (report: ContentStatus) => {
      reporter.report(report);
      domain?.snapshotReported(report);
      domain?.imagesMoved(switchedImages(report, domain.nodeDomain.snapshotDirectory));
    };
    const options = { control, journalDirectory, lockDirectory, onReport, clock, log, signal: leaving, onLeave };
    const report = await this.#lending(uid, { domain, options, work });
    if (report === undefined) return;
    onReport(report);
    const { phase, pause, error } = report;
    log.info({ phase, pause, error }, isTerminal(report) ? "snapshot ended" : "the hold is left to the next agent");
    await reporter.settled();
    if (isTerminal(report)) await settleJournal({ directory: journalDirectory, uid });
  }

  /** The guest is given back as soon as the engine is done with it, whoever still waits for the status. */
  async #lending(
    uid: string,
    context: {
      domain: DomainPublisher | undefined;
      options: RunOptions;
      work: (options: RunOptions) => Promise<ContentStatus>;
    },
  ): Promise<ContentStatus | undefined> {
    const { domain, options, work } = context;
    const name = this.#content(uid)?.metadata.name ?? uid;
    using lent = await domain?.lend(name);
    try {
      return await work({ ...options, ...(lent?.guest !== undefined && { guest: lent.guest }) });
    } catch (error) {
      // Asked to leave before the journal was taken up: the next agent does.
      if (this.#options.leaving.aborted) return undefined;
      const failure = Failure.from(error);
      options.log.error({ err: error }, "the engine threw");
      return refusedStatus(userReason(failure), failure.message, microTime(this.#options.clock.now()));
    }
  }

  async #whenFree<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (Failure.from(error).reason !== "DomainBusy") throw error;
        await this.#options.clock.sleep(busyMilliseconds, this.#options.leaving);
      }
    }
  }

  #content(uid: string): DomainSnapshotContent | undefined {
    return this.#options.store.list().find((content) => uidOf(content) === uid);
  }

  #reporter(uid: string, log: Logger): StatusReporter<ContentStatus> {
    const { client, store, clock, random, signal } = this.#options;
    return new StatusReporter<ContentStatus>({
      write: async (status, writeSignal) => {
        const content = this.#content(uid);
        if (content === undefined) {
          if (store.isSynced) throw replaced;
          throw new Failure("AgentLost", "the Contents are not listed yet", { retryable: true });
        }
        // What ended for its reader has ended, whatever a rollback that was tried again came to.
        if (isTerminal(content.status)) return;
        const { name, generation } = content.metadata;
        const whole = { ...status, ...(generation !== undefined && { observedGeneration: generation }) };
        const options = { fieldManager, force: true, signal: writeSignal };
        store.put(await client.applyStatus({ metadata: { name }, status: whole }, options));
      },
      urgency: contentUrgency,
      isFinal: (error) => error === replaced || isApiError(error, "NotFound"),
      onError: (error) => log.warn({ error: String(error) }, "cannot write the status; trying again"),
      clock,
      random,
      signal,
    });
  }
}

/** Identity of a Content; the engine's job and journal bear it. */
function uidOf(content: DomainSnapshotContent): string {
  return content.metadata.uid ?? content.spec.snapshotRef.uid;
}

function snapshotJob(content: DomainSnapshotContent, domain: DomainPublisher): SnapshotJob {
  const { spec } = content;
  return {
    uid: uidOf(content),
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
