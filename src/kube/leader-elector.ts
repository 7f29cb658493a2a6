// One leader at a time, by a Lease. client-go's algorithm and figures (15/10/2 s), with the leader's own limit kept by a timer
// that runs beside the renewals: a hanging request cannot keep a leader in office.

import { type Clock, microTime } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { isApiError } from "./api-error.ts";
import { withDeadline } from "./deadline.ts";
import type { KubeApi } from "./kube-client.ts";
import { type Lease, leases } from "./lease.ts";
import { LeaseObserver } from "./lease-observer.ts";
import { ResourceClient } from "./resource-client.ts";

/** What a leader knows of its term. */
export interface Term {
  /** The lease's transitions: no two terms share one, later terms have greater ones. Commands may carry it as a fence. */
  readonly transitions: number;
}

export interface LeaderElectorOptions {
  readonly client: KubeApi;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Of this process. No two processes may share one. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Others wait this long after they last saw the lease change. Default 15 s. */
  readonly leaseDurationMilliseconds?: number;
  /** A leader that could not renew for so long stops leading; must be well below the lease duration. Default 10 s. */
  readonly renewDeadlineMilliseconds?: number;
  /** Between two tries to acquire or renew. Default 2 s. */
  readonly retryPeriodMilliseconds?: number;
}

export class LeaderElector {
  readonly #options: Required<LeaderElectorOptions>;
  readonly #leases: ResourceClient<Lease>;
  readonly #observer: LeaseObserver;
  readonly #key: string;
  /** The lease as we last read or wrote it: the next write is bound to its version. */
  #known: Lease | undefined;

  constructor(options: LeaderElectorOptions) {
    this.#options = {
      leaseDurationMilliseconds: 15_000,
      renewDeadlineMilliseconds: 10_000,
      retryPeriodMilliseconds: 2_000,
      ...options,
    };
    const { renewDeadlineMilliseconds: renew, leaseDurationMilliseconds: duration } = this.#options;
    if (renew >= duration) throw new RangeError("the renew deadline must be below the lease duration");
    this.#leases = new ResourceClient<Lease>({ api: options.client, resource: leases });
    this.#observer = new LeaseObserver({ clock: options.clock });
    this.#key = `${options.namespace}/${options.name}`;
  }

  /**
   * Waits to become leader and runs `onStarted`. Resolves when that ends, or when `signal` aborts: then `onStarted` is waited
   * for before the lease is released. Rejects with `LeaseLost` when the lease could not be renewed in time; `onStarted`'s
   * signal aborts then, and the process should exit once this rejects, which it does before anyone else can lead.
   */
  async run(options: {
    signal: AbortSignal;
    onStarted: (signal: AbortSignal, term: Term) => Promise<void>;
  }): Promise<void> {
    const { log, identity } = this.#options;
    const validFrom = await this.#acquire(options.signal);
    if (validFrom === undefined) return;
    const term = { transitions: this.#known?.spec?.leaseTransitions ?? 0 };
    log.info({ lease: this.#key, identity, ...term }, "leading");
    const lost = new AbortController();
    const ended = new AbortController();
    const renewals = this.#renewUntil(ended.signal, lost, validFrom);
    const work = options.onStarted(AbortSignal.any([options.signal, lost.signal]), term);
    work.catch(() => undefined);
    try {
      await Promise.race([work, this.#lossTaken(lost.signal, ended.signal)]);
    } catch (error) {
      // After a loss, what the work throws is only its way of stopping.
      if (!lost.signal.aborted) throw error;
    } finally {
      ended.abort();
      await renewals;
      if (!lost.signal.aborted) await this.#release();
    }
    if (lost.signal.aborted) throw lost.signal.reason;
  }

  /** Resolves with the monotonic time from which our hold counts, or undefined if the signal aborts first. */
  async #acquire(signal: AbortSignal): Promise<number | undefined> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      const attemptedAt = clock.monotonic();
      try {
        if (await this.#bounded(signal, (bound) => this.#tryAcquire(bound))) return attemptedAt;
      } catch (error) {
        if (!signal.aborted) log.debug({ err: error, lease: this.#key }, "cannot acquire the lease now");
      }
      await clock.sleep(this.#jitteredRetry(), signal).catch(() => undefined);
    }
    return undefined;
  }

  /** Renews until `ended`; aborts `lost` as soon as the last renewal, counted from when it was sent, is too old. */
  async #renewUntil(ended: AbortSignal, lost: AbortController, validFrom: number): Promise<void> {
    const { clock, log, renewDeadlineMilliseconds } = this.#options;
    let heldSince = validFrom;
    const watchdog = async () => {
      const left = () => heldSince + renewDeadlineMilliseconds - clock.monotonic();
      while (left() > 0) await clock.sleep(left(), ended);
      lost.abort(new Failure("LeaseLost", `the lease ${this.#key} could not be renewed in time`));
    };
    const watching = watchdog().catch(() => undefined);
    const over = AbortSignal.any([ended, lost.signal]);
    while (!over.aborted) {
      await clock.sleep(this.#jitteredRetry(), over).catch(() => undefined);
      if (over.aborted) break;
      const attemptedAt = clock.monotonic();
      try {
        if (await this.#bounded(over, (bound) => this.#tryRenew(bound))) heldSince = attemptedAt;
        else lost.abort(new Failure("LeaseLost", `the lease ${this.#key} has another holder`));
      } catch (error) {
        if (!over.aborted) log.warn({ err: error, lease: this.#key }, "cannot renew the lease");
        // A conflict, or unknown whether it was written: whose it is now shows when it is read again.
        this.#known = undefined;
      }
    }
    await watching;
  }

  /** One try to create the lease or to take it over. False if another holds it or was faster. */
  async #tryAcquire(signal: AbortSignal): Promise<boolean> {
    const { identity, namespace, name, clock } = this.#options;
    const current = await this.#leases.get(name, namespace, { signal });
    if (current !== undefined) this.#observer.observe(current);
    const holder = current?.spec?.holderIdentity;
    if (holder && holder !== identity && this.#observer.remainingMilliseconds(this.#key) > 0) return false;
    // Counted even if the holder was ourselves, before a crash or a loss: this is a new term.
    const leaseTransitions = current === undefined ? 0 : (current.spec?.leaseTransitions ?? 0) + 1;
    const spec = { ...this.#renewal(), acquireTime: microTime(clock.now()), leaseTransitions };
    try {
      this.#known =
        current === undefined
          ? await this.#leases.create({ metadata: { name, namespace }, spec }, { signal })
          : await this.#leases.mergePatch(name, namespace, { metadata: versionOf(current), spec }, { signal });
      return true;
    } catch (error) {
      if (isApiError(error, "Conflict") || isApiError(error, "AlreadyExists")) return false;
      throw error;
    }
  }

  /**
   * One try to renew. False if the lease is not ours any more: even if it is free again, somebody may have led meanwhile.
   * The known version suffices: if anyone else wrote, our write conflicts.
   */
  async #tryRenew(signal: AbortSignal): Promise<boolean> {
    const { identity, namespace, name } = this.#options;
    const current = this.#known ?? (await this.#leases.get(name, namespace, { signal }));
    if (current?.spec?.holderIdentity !== identity) return false;
    const patch = { metadata: versionOf(current), spec: this.#renewal() };
    this.#known = await this.#leases.mergePatch(name, namespace, patch, { signal });
    return true;
  }

  #renewal(): { holderIdentity: string; leaseDurationSeconds: number; renewTime: string } {
    const { identity, clock, leaseDurationMilliseconds } = this.#options;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDurationMilliseconds / 1000),
      renewTime: microTime(clock.now()),
    };
  }

  /** Lets others lead at once. Read first: a renewal that was under way may or may not have been written. */
  async #release(): Promise<void> {
    const { namespace, name, clock, log, identity, renewDeadlineMilliseconds } = this.#options;
    const milliseconds = Math.min(renewDeadlineMilliseconds, 5_000);
    try {
      await withDeadline({ clock, milliseconds, what: "release of the lease" }, async (signal) => {
        const current = await this.#leases.get(name, namespace, { signal });
        if (current?.spec?.holderIdentity !== identity) return;
        const spec = { holderIdentity: null, leaseDurationSeconds: 1, renewTime: microTime(clock.now()) };
        await this.#leases.mergePatch(name, namespace, { metadata: versionOf(current), spec }, { signal });
        log.info({ lease: this.#key }, "lease released");
      });
    } catch (error) {
      log.warn({ err: error, lease: this.#key }, "cannot release the lease; it will expire");
    }
  }

  /** After a loss, the work gets the time until others may lead to end by itself; then the loss is reported regardless. */
  async #lossTaken(lost: AbortSignal, ended: AbortSignal): Promise<void> {
    const { clock, leaseDurationMilliseconds, renewDeadlineMilliseconds } = this.#options;
    const either = AbortSignal.any([lost, ended]);
    if (!either.aborted) await new Promise((resolve) => either.addEventListener("abort", resolve, { once: true }));
    const grace = (leaseDurationMilliseconds - renewDeadlineMilliseconds) / 2;
    await clock.sleep(grace, ended).catch(() => undefined);
  }

  /** A request that hangs must not use up the time in which another could succeed. */
  async #bounded<R>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const { clock, renewDeadlineMilliseconds } = this.#options;
    const milliseconds = renewDeadlineMilliseconds / 2;
    return await withDeadline({ clock, milliseconds, what: "the lease request", signal }, work);
  }

  #jitteredRetry(): number {
    return this.#options.retryPeriodMilliseconds * (1 + 0.2 * this.#options.random());
  }
}

function versionOf(lease: Lease): { resourceVersion: string | undefined } {
  return { resourceVersion: lease.metadata.resourceVersion };
}
