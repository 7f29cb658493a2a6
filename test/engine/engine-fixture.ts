// A real guest with a raw and a qcow2 disk, snapshots of it by the engine alone, and what a refusal must leave as it was.

import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { z } from "zod";
import type { GuestDisk } from "../../src/qemu/disk.ts";
import { Guest } from "../../src/qemu/guest.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { settleJournal } from "../../src/snapshot/interrupted.ts";
import type { NodeDomain, Phase } from "../../src/snapshot/job.ts";
import { type HoldBound, type PlanRequest, planSnapshot } from "../../src/snapshot/plan.ts";
import { runSnapshot, type SnapshotReport } from "../../src/snapshot/run.ts";
import { ensureGuestImage } from "../guest/image.ts";
import { ensureQemu, type QemuVersion } from "../guest/qemu.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { createDisk, TestGuest } from "../guest/test-guest.ts";

type Decision = "Released" | "Aborted";

export interface Script {
  readonly request?: Partial<PlanRequest>;
  readonly domain?: Partial<NodeDomain>;
  readonly expectedUuid?: string;
  readonly name?: string;
  readonly hold?: HoldBound;
  /** Runs once, when the hold has begun; what it gives decides, nothing leaves the hold to itself. Default Released. */
  readonly onHold?: () => Promise<Decision | undefined> | Decision | undefined;
  /** Runs at the first report of every phase, before the engine goes on. */
  readonly onPhase?: (phase: Phase) => void;
}

const nodes = z.array(z.looseObject({ "node-name": z.string(), file: z.string() }));
const drives = z.array(z.looseObject({ inserted: z.looseObject({ "node-name": z.string() }).optional() }));

export class EngineFixture implements AsyncDisposable {
  readonly directory: string;
  readonly guest: TestGuest;
  /** The test's own monitor; the engine takes `guest.monitorPath`. */
  readonly monitor: RawMonitor;
  readonly #disks: readonly GuestDisk[];
  readonly #resources: AsyncDisposableStack;
  #count = 0;

  private constructor(options: {
    directory: string;
    guest: TestGuest;
    monitor: RawMonitor;
    disks: readonly GuestDisk[];
    resources: AsyncDisposableStack;
  }) {
    this.directory = options.directory;
    this.guest = options.guest;
    this.monitor = options.monitor;
    this.#disks = options.disks;
    this.#resources = options.resources;
  }

  static async start(version: QemuVersion): Promise<EngineFixture> {
    await using resources = new AsyncDisposableStack();
    const qemu = ensureQemu(version);
    const directory = await mkdtemp(join(tmpdir(), "dsnap-engine-"));
    resources.defer(async () => await rm(directory, { recursive: true, force: true }));
    await mkdir(join(directory, "snapshots"));
    const guest = await TestGuest.start({
      ...{ qemu, directory, image: ensureGuestImage(), touchMebibytes: 32 },
      disks: [
        { name: "vda", format: "raw", path: createDisk(qemu, join(directory, "vda.raw"), "raw") },
        { name: "vdb", format: "qcow2", path: createDisk(qemu, join(directory, "vdb.qcow2"), "qcow2") },
      ],
    });
    resources.use(guest);
    const monitor = resources.use(await RawMonitor.connect(guest.testMonitorPath));
    await using session = await Guest.open({ monitorPath: guest.monitorPath });
    const disks = await session.disks();
    return new EngineFixture({ directory, guest, monitor, disks, resources: resources.move() });
  }

  /** Memory, vda manual, vdb external, unless the script says otherwise. */
  async snapshot(script: Script = {}): Promise<{ report: SnapshotReport; phases: Phase[] }> {
    this.#count += 1;
    const name = script.name ?? `s${this.#count}`;
    const request: PlanRequest = {
      ...{ namespace: "ns", name, uid: `0000000${this.#count}`.slice(-8), capture: "paused", quiesce: "Never" },
      memory: { snapshot: "external" },
      disks: [{ name: "vda", snapshot: "manual" }],
      ...script.request,
    };
    const plan = planSnapshot(request, { disks: this.#disks });
    const hold = script.hold ?? plan.hold;
    let desired: "Held" | Decision = "Held";
    let changed = Promise.withResolvers<void>();
    let deciding: Promise<void> | undefined;
    const decide = async () => {
      desired = (await (script.onHold ?? (() => "Released" as const))()) ?? "Held";
      const before = changed;
      changed = Promise.withResolvers();
      before.resolve();
    };
    const phases: Phase[] = [];
    const journalDirectory = join(this.directory, "journals");
    const report = await runSnapshot(
      {
        ...{ uid: request.uid, namespace: "ns", name, plan },
        ...(script.expectedUuid !== undefined && { expectedUuid: script.expectedUuid }),
        domain: {
          ...{ namespace: "ns", name: "guest", monitorPath: this.guest.monitorPath, monitor: "dedicated" },
          ...{ snapshotDirectory: join(this.directory, "snapshots"), allowedDirectories: [] },
          ...script.domain,
        },
      },
      {
        control: { desired: () => desired, hold: () => hold, wait: () => changed.promise },
        journalDirectory,
        lockDirectory: join(this.directory, "locks"),
        onReport: ({ phase }) => {
          if (phases.at(-1) !== phase) {
            phases.push(phase);
            script.onPhase?.(phase);
          }
          if (phase === "ManualStoragePending") deciding ??= decide();
        },
        clock,
        log: createLogger({ level: "silent" }),
        signal: new AbortController().signal,
      },
    );
    await deciding;
    await settleJournal({ directory: journalDirectory, uid: request.uid });
    return { report, phases };
  }

  /** Every file but the guest's own sockets and console, and the locks. */
  async files(): Promise<string[]> {
    const all = await readdir(this.directory, { recursive: true });
    return all.filter((name) => !/^(journals$|locks|guest\.)/.test(name)).toSorted();
  }

  /** The guest runs, and agrees with its disks since it was started. */
  async expectRunning(): Promise<void> {
    expect(await this.monitor.runState()).toBe("running");
    await this.guest.waitForMoreTicks();
    expect(this.guest.mismatch(["vda", "vdb"])).toBeUndefined();
  }

  /** All that a snapshot changes in guest and files, and has to put back if it does not come about. */
  async footprint(): Promise<object> {
    const { monitor } = this;
    const graph = nodes.parse(await monitor.execute("query-named-block-nodes", { flat: true }));
    const attached = drives.parse(await monitor.execute("query-block"));
    return {
      runState: await monitor.runState(),
      files: await this.files(),
      nodes: graph.map((node) => `${node["node-name"]} ${node.file}`).toSorted(),
      drives: attached.map((drive) => drive.inserted?.["node-name"]),
      jobs: await monitor.execute("query-jobs"),
      capabilities: await monitor.execute("query-migrate-capabilities"),
      parameters: await monitor.execute("query-migrate-parameters"),
    };
  }

  /** A guest that the test left paused or held runs again. */
  async letRun(): Promise<void> {
    if (this.guest.process.running && (await this.monitor.runState()) !== "running") await this.monitor.execute("cont");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
