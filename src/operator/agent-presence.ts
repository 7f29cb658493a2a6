// Whether the agent of a node is there, by its Lease. Clocks of nodes are not trusted: a Lease expires when this process
// has not seen it renewed for its duration.

import type { Clock } from "../runtime/clock.ts";

/** Alive: renewed lately. Unproven: too early to say. Lost: no Lease, or not renewed for its duration. */
export type Presence =
  | { readonly state: "Alive" | "Unproven"; readonly checkAfterMilliseconds: number }
  | { readonly state: "Lost"; readonly lostForMilliseconds: number };

/** The part of a Lease that matters here. */
export interface AgentLease {
  readonly metadata: { readonly name: string };
  readonly spec?:
    | { readonly renewTime?: string | undefined; readonly leaseDurationSeconds?: number | undefined }
    | undefined;
}

interface Sighting {
  readonly renewTime: string | undefined;
  readonly expiresAt: number;
  /** Seen to change, or fresh by the wall clock when first seen. */
  readonly proven: boolean;
}

const defaultDurationMilliseconds = 40_000;

/** Follows the agents' Leases. */
export class AgentPresence {
  readonly #clock: Clock;
  readonly #graceMilliseconds: number;
  readonly #sightings = new Map<string, Sighting>();
  readonly #missingSince = new Map<string, number>();

  /** `graceMilliseconds`: how long a missing Lease, or a stale one from before this process, may still turn up. */
  constructor({ clock, graceMilliseconds = 15_000 }: { clock: Clock; graceMilliseconds?: number | undefined }) {
    this.#clock = clock;
    this.#graceMilliseconds = graceMilliseconds;
  }

  /** Takes note of a Lease; repeating it with the same renew time changes nothing. */
  observe(lease: AgentLease): void {
    const { name } = lease.metadata;
    const renewTime = lease.spec?.renewTime;
    const before = this.#sightings.get(name);
    if (before !== undefined && before.renewTime === renewTime) return;
    const durationMilliseconds = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || defaultDurationMilliseconds;
    const ageMilliseconds =
      renewTime === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - Date.parse(renewTime);
    const proven = before !== undefined || ageMilliseconds < durationMilliseconds;
    const expiresAt = this.#clock.monotonic() + (proven ? durationMilliseconds : this.#graceMilliseconds);
    this.#sightings.set(name, { renewTime, expiresAt, proven });
    this.#missingSince.delete(name);
  }

  /** The Lease was deleted: the agent said goodbye. */
  forget(name: string): void {
    if (this.#sightings.delete(name)) this.#missingSince.set(name, this.#clock.monotonic() - this.#graceMilliseconds);
  }

  /** What is known of the agent whose Lease has this name. */
  of(name: string): Presence {
    const now = this.#clock.monotonic();
    const sighting = this.#sightings.get(name);
    if (sighting === undefined) {
      const since = this.#missingSince.get(name) ?? now;
      this.#missingSince.set(name, since);
      return this.#judge(since + this.#graceMilliseconds, "Unproven", now);
    }
    return this.#judge(sighting.expiresAt, sighting.proven ? "Alive" : "Unproven", now);
  }

  #judge(expiresAt: number, state: "Alive" | "Unproven", now: number): Presence {
    if (now >= expiresAt) return { state: "Lost", lostForMilliseconds: now - expiresAt };
    return { state, checkAfterMilliseconds: Math.max(1, Math.ceil(expiresAt - now)) };
  }
}
