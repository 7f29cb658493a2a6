// What the steps of one snapshot share: the guest, what was found out about it, and the report that grows.

import type { GuestDisk } from "../qemu/disk.ts";
import type { Guest } from "../qemu/guest.ts";
import { markId } from "../qemu/guest-mark.ts";
import type { IoCounters } from "../qemu/io-counters.ts";
import type { MemoryWriter } from "../qemu/memory-writer.ts";
import type { MigrationSettings } from "../qemu/migration.ts";
import type { Overlay } from "../qemu/overlay.ts";
import { type Clock, epochMilliseconds, microTime } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import type { BootClock } from "./hold-deadline.ts";
import { type HoldControl, moments, type SnapshotJob, type SnapshotReport, type Timeline } from "./job.ts";
import type { Journal } from "./journal.ts";
import { OwnFiles } from "./own-files.ts";
import { shownPath } from "./paths.ts";
import { Standstill } from "./standstill.ts";

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

/** When and how the hold began; journaled, so that another agent keeps the same hold to the same deadline. */
export interface HoldBegan {
  /** Wall-clock milliseconds. */
  readonly at: number;
  /** Seconds since boot, suspend included. */
  readonly uptimeSeconds: number;
  readonly counters: IoCounters;
}

export class SnapshotContext {
  readonly job: SnapshotJob;
  readonly control: HoldControl;
  readonly clock: Clock;
  readonly log: Logger;
  readonly report: SnapshotReport;
  readonly #onReport: (report: SnapshotReport) => void;
  readonly #stamps = new Map<keyof Timeline, number>();
  readonly boot: BootClock;
  readonly #openGuest: (signal?: AbortSignal) => Promise<Guest>;
  readonly #lent: Guest | undefined;
  #guest: Guest | undefined;
  #prepared: Prepared | undefined;
  memoryWriter: MemoryWriter | undefined;
  /** Set when the hold ended in a way that spoils the snapshot, though the guest goes on and the files stay. */
  verdict: Failure | undefined;
  readonly journal: Journal;
  readonly files: OwnFiles;
  readonly standstill: Standstill;
  /** Names of the steps whose intent is in the journal. */
  readonly begun = new Set<string>();
  holdBegan: HoldBegan | undefined;
  /** True for a snapshot that another process began. */
  readonly recovered: boolean;
  /** The guest bears our mark: a QEMU without it is another one. */
  isMarked = false;
  #unlinkForbidden: string | undefined;
  /** The guest has run on its overlays, or nobody can tell that it has not: only a commit takes them back. */
  ranSinceSwitch: boolean;

  constructor(options: {
    job: SnapshotJob;
    /** An open session; it stays its owner's. */
    guest?: Guest;
    openGuest: (signal?: AbortSignal) => Promise<Guest>;
    control: HoldControl;
    clock: Clock;
    boot: BootClock;
    log: Logger;
    journal: Journal;
    onReport: (report: SnapshotReport) => void;
    recovered?: boolean;
  }) {
    this.job = options.job;
    this.#lent = options.guest;
    this.#guest = options.guest;
    this.#openGuest = options.openGuest;
    this.boot = options.boot;
    this.control = options.control;
    this.clock = options.clock;
    this.log = options.log;
    this.#onReport = options.onReport;
    this.journal = options.journal;
    this.recovered = options.recovered ?? false;
    this.ranSinceSwitch = this.recovered;
    this.files = new OwnFiles({
      tag: options.job.uid.slice(0, 8),
      note: async (file) => await this.journal.append("file", undefined, file),
    });
    this.standstill = new Standstill(this);
    this.report = { phase: "Preparing", startedAt: microTime(options.clock.now()) };
  }

  get guest(): Guest {
    if (this.#guest === undefined) throw new Failure("MonitorUnavailable", "no session to the guest was opened yet");
    return this.#guest;
  }

  /** A new session to whatever answers on the guest's monitor. */
  async openGuest(signal?: AbortSignal): Promise<Guest> {
    return await this.#openGuest(signal);
  }

  /** Ends the present session: a monitor serves one client, and one that hangs would keep the next from it. */
  async closeGuest(): Promise<void> {
    await this.#guest?.[Symbol.asyncDispose]();
  }

  /** The same QEMU through a new session, which is ours to close. */
  replaceGuest(guest: Guest): void {
    this.#guest = guest;
  }

  async closeReplaced(): Promise<void> {
    if (this.#guest !== this.#lent) await this.#guest?.[Symbol.asyncDispose]();
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

  /** The mark by which this QEMU process is known again. */
  get mark(): string {
    return markId(this.job.uid);
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

  /** Goes on with the report of the process that began this snapshot. */
  recallReport(report: SnapshotReport): void {
    for (const key of Object.keys(this.report)) Reflect.deleteProperty(this.report, key);
    Object.assign(this.report, report);
    for (const moment of moments) {
      const time = report[moment];
      if (time !== undefined) this.#stamps.set(moment, epochMilliseconds(time));
    }
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
