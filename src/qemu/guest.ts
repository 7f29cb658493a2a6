// One guest behind its monitor: who it is, what it does, stop and go. Everything else about it builds on this.

import { call } from "../qmp/commands.ts";
import { connectQmp, type QmpConnection } from "../qmp/connection.ts";
import type { QemuVersion } from "../qmp/message.ts";
import { QmpError } from "../qmp/qmp-error.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { BlockGraph } from "./block-graph.ts";
import type { DiskNaming, GuestDisk } from "./disk.ts";
import { discoverDisks } from "./disk-discovery.ts";
import { processOfSocket } from "./process-of-socket.ts";

export interface GuestIdentity {
  readonly uuid: string;
  readonly name?: string;
  /** QEMU's process id, where this process can see it. */
  readonly pid?: number;
}

/** How long `cont` may be refused because a finished migration is not yet finalized. */
const finalizeMilliseconds = 10_000;

export class Guest implements AsyncDisposable {
  readonly connection: QmpConnection;
  readonly monitorPath: string;
  readonly #clock: Clock;

  constructor(options: { connection: QmpConnection; monitorPath: string; clock: Clock }) {
    this.connection = options.connection;
    this.monitorPath = options.monitorPath;
    this.#clock = options.clock;
  }

  /** Opens a monitor session. Failure MonitorUnavailable or MonitorBusy. */
  static async open(options: {
    monitorPath: string;
    clock?: Clock;
    log?: Logger;
    signal?: AbortSignal;
  }): Promise<Guest> {
    const { monitorPath, clock = systemClock, signal } = options;
    const connection = await connectQmp({ path: monitorPath, ...(signal === undefined ? {} : { signal }) });
    return new Guest({ connection, monitorPath, clock });
  }

  get version(): QemuVersion {
    return this.connection.version;
  }

  /** True from QEMU `major.minor` on. */
  isAtLeast(major: number, minor: number): boolean {
    const { version } = this;
    return version.major > major || (version.major === major && version.minor >= minor);
  }

  async identity(): Promise<GuestIdentity> {
    const [{ UUID: uuid }, { name }] = await Promise.all([
      call(this.connection, "query-uuid"),
      call(this.connection, "query-name"),
    ]);
    const pid = await processOfSocket(this.monitorPath);
    return { uuid, ...(name !== undefined && { name }), ...(pid !== undefined && { pid }) };
  }

  /** QEMU's run state, such as running, paused, postmigrate or finish-migrate. */
  async runState(options: { signal?: AbortSignal } = {}): Promise<string> {
    return (await call(this.connection, "query-status", undefined, options)).status;
  }

  async disks(namings: readonly DiskNaming[] = [], signal?: AbortSignal): Promise<GuestDisk[]> {
    return await discoverDisks(this.connection, namings, signal);
  }

  async blockGraph(): Promise<BlockGraph> {
    return await BlockGraph.read(this.connection);
  }

  async memoryBytes(): Promise<number> {
    const summary = await call(this.connection, "query-memory-size-summary");
    return summary["base-memory"] + summary["plugged-memory"];
  }

  /** Running block jobs: the device or node they belong to, and their type. */
  async blockJobs(): Promise<{ readonly device: string; readonly type: string }[]> {
    return await call(this.connection, "query-block-jobs");
  }

  /** Why this guest's memory cannot be saved, in QEMU's words; empty if it can. */
  async migrationBlockers(): Promise<string[]> {
    return (await call(this.connection, "query-migrate"))["blocked-reasons"] ?? [];
  }

  /** Whether libvirt started this guest: its generated node names tell. */
  async managedByLibvirt(): Promise<boolean> {
    return (await this.blockGraph()).names.some((name) => /^libvirt-\d+-(format|storage)$/.test(name));
  }

  /** The capture modes that this guest can do. `background` has no steps yet. */
  async captureModes(): Promise<("paused" | "live")[]> {
    return await Promise.resolve(["paused", "live"]);
  }

  /** Stops the vCPUs; QEMU drains and flushes every disk meanwhile. Resolves with QEMU's own time of the STOP event. */
  async stop(options: { signal?: AbortSignal } = {}): Promise<{ readonly at: number }> {
    return await this.#withEvent("STOP", async () => {
      await call(this.connection, "stop", undefined, options);
    });
  }

  /** Lets the guest run and confirms that it does; harmless on a running guest. */
  async cont(options: { signal?: AbortSignal } = {}): Promise<{ readonly at: number }> {
    return await this.#withEvent("RESUME", async () => {
      await this.#whenFinalized(() => call(this.connection, "cont", undefined, options), options.signal);
      const state = await this.runState(options);
      if (state !== "running") {
        throw new Failure("ResumeFailed", `cont was accepted, but the guest is ${state}; look at QEMU's log`);
      }
    });
  }

  /** `cont` with a `stop` right behind it in the same write: the guest runs for about a millisecond. */
  async contAndStop(): Promise<void> {
    await this.#whenFinalized(
      () => Promise.all([call(this.connection, "cont"), call(this.connection, "stop")]),
      undefined,
    );
  }

  /**
   * `cont` right after a migration is refused with "Migration is not finalized yet" in about one of ten tries: it is
   * repeated on exactly that text.
   */
  async #whenFinalized(work: () => Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
    const giveUpAt = this.#clock.monotonic() + finalizeMilliseconds;
    for (;;) {
      try {
        await work();
        return;
      } catch (error) {
        const unfinished = error instanceof QmpError && error.description.includes("Migration is not finalized yet");
        if (!unfinished || this.#clock.monotonic() > giveUpAt) throw error;
        await this.#clock.sleep(2, signal);
      }
    }
  }

  async #withEvent(event: string, work: () => Promise<void>): Promise<{ readonly at: number }> {
    let at: number | undefined;
    const unsubscribe = this.connection.on(event, (seen) => {
      at = seen.at;
    });
    try {
      await work();
    } finally {
      unsubscribe();
    }
    return { at: at ?? this.#clock.now() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }
}
