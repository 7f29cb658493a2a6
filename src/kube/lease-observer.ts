// Tells whether leases of others have expired, by our own monotonic clock alone: how long ago did we last see one change?
// Clocks of other machines may be wrong by hours without harm; only the rates of the clocks must agree.

import type { Clock } from "../runtime/clock.ts";
import { objectKey } from "./kube-object.ts";
import type { Lease } from "./lease.ts";

interface Sighting {
  readonly record: string;
  readonly changedAt: number;
  readonly durationMilliseconds: number;
  readonly isHeld: boolean;
}

export class LeaseObserver {
  readonly #clock: Clock;
  readonly #sightings = new Map<string, Sighting>();

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock;
  }

  /** Takes note of a lease as just read or watched. */
  observe(lease: Lease): void {
    const { holderIdentity, renewTime, leaseDurationSeconds = 0, leaseTransitions = 0 } = lease.spec ?? {};
    const record = JSON.stringify([
      lease.metadata.uid,
      holderIdentity,
      renewTime,
      leaseDurationSeconds,
      leaseTransitions,
    ]);
    const key = objectKey(lease);
    if (this.#sightings.get(key)?.record === record) return;
    this.#sightings.set(key, {
      record,
      changedAt: this.#clock.monotonic(),
      durationMilliseconds: leaseDurationSeconds * 1000,
      isHeld: Boolean(holderIdentity),
    });
  }

  /** The lease is deleted. */
  forget(key: string): void {
    this.#sightings.delete(key);
  }

  /** How long the holder may still be trusted: 0 if expired, released or never seen. */
  remainingMilliseconds(key: string): number {
    const sighting = this.#sightings.get(key);
    if (sighting === undefined || !sighting.isHeld) return 0;
    return Math.max(0, sighting.changedAt + sighting.durationMilliseconds - this.#clock.monotonic());
  }
}
