// Renews a Lease of one's own for as long as the process lives: by it, others know that it is there.

import { type Clock, microTime } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { withDeadline } from "./deadline.ts";
import type { KubeApi } from "./kube-client.ts";
import { type Lease, leases } from "./lease.ts";
import { ResourceClient } from "./resource-client.ts";

export interface NodeLeaseOptions {
  readonly client: KubeApi;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  readonly identity: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Default 10 s, with some jitter. */
  readonly renewPeriodMilliseconds?: number;
  /** After how long without a renewal others take the process for gone. Default 40 s. */
  readonly leaseDurationSeconds?: number;
}

export class NodeLease {
  readonly #options: NodeLeaseOptions;
  readonly #leases: ResourceClient<Lease>;

  constructor(options: NodeLeaseOptions) {
    this.#options = options;
    this.#leases = new ResourceClient<Lease>({ api: options.client, resource: leases });
  }

  /**
   * Renews until the signal aborts, then resolves. The lease is left to expire: after a restart within its duration, nobody
   * has to notice. A failed renewal is tried again at the next period, after a lost API server as well.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, renewPeriodMilliseconds = 10_000 } = this.#options;
    const acquireTime = microTime(clock.now());
    while (!signal.aborted) {
      try {
        await withDeadline({ clock, milliseconds: renewPeriodMilliseconds, what: "lease renewal", signal }, (bound) =>
          this.#renew(acquireTime, bound),
        );
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error, lease: this.#options.name }, "cannot renew the lease");
      }
      await clock.sleep(renewPeriodMilliseconds * (0.9 + 0.2 * random()), signal).catch(() => undefined);
    }
  }

  /** One apply creates the lease or renews it: no read, and nothing to retry on a conflict. */
  async #renew(acquireTime: string, signal: AbortSignal): Promise<void> {
    const { name, namespace, identity, clock, leaseDurationSeconds = 40 } = this.#options;
    const spec = { holderIdentity: identity, leaseDurationSeconds, acquireTime, renewTime: microTime(clock.now()) };
    const options = { fieldManager: "node-lease", force: true, signal };
    await this.#leases.apply({ metadata: { name, namespace }, spec }, options);
  }
}
