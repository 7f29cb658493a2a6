// What the steps of one snapshot share: the guest, what was found out about it, and the report that grows.

import type { GuestDisk } from "../qemu/disk.ts";
import type { Guest } from "../qemu/guest.ts";
import type { MemoryWriter } from "../qemu/memory-writer.ts";
import type { MigrationSettings } from "../qemu/migration.ts";
import type { Overlay } from "../qemu/overlay.ts";
import { type Clock, microTime } from "../runtime/clock.ts";
import type { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import type { HoldControl, SnapshotJob, SnapshotReport, Timeline } from "./job.ts";
import { shownPath } from "./paths.ts";

/** Facts of `prepare` that every later step and every undo relies on; journaled before the guest is touched. */
export interface Prepared {
  readonly uuid: string;
  readonly ranBefore: boolean;
  readonly disks: readonly GuestDisk[];
  readonly overlays: readonly Overlay[];
  readonly memoryBytes: number;
  readonly memoryFile?: string;
  readonly migrationSettings: MigrationSettings;
  readonly qemuArguments?: readonly string[];
}

export class SnapshotContext {
  readonly job: SnapshotJob;
  readonly control: HoldControl;
  readonly clock: Clock;
  readonly log: Logger;
  readonly report: SnapshotReport;
  readonly #onReport: (report: SnapshotReport) => void;
  readonly #stamps = new Map<keyof Timeline, number>();
  #guest: Guest;
  #prepared: Prepared | undefined;
  memoryWriter: MemoryWriter | undefined;
  /** Set when the hold ended in a way that spoils the snapshot, though the guest goes on and the files stay. */
  verdict: Failure | undefined;
  /** Files of our own making; nothing else is ever removed. */
  readonly createdFiles = new Set<string>();
  readonly manifestFiles = new Set<string>();
  #unlinkForbidden: string | undefined;
  /** The guest has run on its overlays: only a commit takes them back. */
  ranSinceSwitch = false;

  constructor(options: {
    job: SnapshotJob;
    guest: Guest;
    control: HoldControl;
    clock: Clock;
    log: Logger;
    onReport: (report: SnapshotReport) => void;
  }) {
    this.job = options.job;
    this.#guest = options.guest;
    this.control = options.control;
    this.clock = options.clock;
    this.log = options.log;
    this.#onReport = options.onReport;
    this.report = { phase: "Preparing", startedAt: microTime(options.clock.now()) };
  }

  get guest(): Guest {
    return this.#guest;
  }

  /** After a broken link: the same QEMU through a new session. */
  replaceGuest(guest: Guest): void {
    this.#guest = guest;
  }

  get prepared(): Prepared {
    if (this.#prepared === undefined) throw new Error("prepare has not run");
    return this.#prepared;
  }

  set prepared(prepared: Prepared) {
    this.#prepared = prepared;
  }

  get isPrepared(): boolean {
    return this.#prepared !== undefined;
  }

  /** Why no overlay may be unlinked, once anything says that an image may still be in use. */
  get unlinkForbidden(): string | undefined {
    return this.#unlinkForbidden;
  }

  forbidUnlink(because: string): void {
    this.#unlinkForbidden ??= because;
  }

  get hasMemory(): boolean {
    return this.job.plan.memory.snapshot === "external";
  }

  get hasManualDisks(): boolean {
    return this.job.plan.disks.some((disk) => disk.snapshot === "manual");
  }

  /** Changes the report and passes a copy on. */
  update(change: Partial<SnapshotReport>): void {
    Object.assign(this.report, change);
    this.#onReport(structuredClone(this.report));
  }

  /** Stamps a moment of the timeline; `at` is wall-clock milliseconds, default now. The first stamp stays. */
  stamp(moment: keyof Timeline, at: number = this.clock.now()): void {
    if (this.#stamps.has(moment)) return;
    this.#stamps.set(moment, at);
    this.report[moment] = microTime(at);
  }

  /** Milliseconds between two moments, if both were seen. */
  between(from: keyof Timeline, to: keyof Timeline): number | undefined {
    const [start, end] = [this.#stamps.get(from), this.#stamps.get(to)];
    return start === undefined || end === undefined ? undefined : Math.max(0, Math.round((end - start) * 1000) / 1000);
  }

  /** Wall-clock milliseconds of a stamped moment. */
  wallTime(moment: keyof Timeline): number {
    return this.#stamps.get(moment) ?? this.clock.now();
  }

  shown(path: string): string {
    return shownPath(path, this.job.domain.snapshotDirectory);
  }
}
