// A snapshot of the simulated guest through any faults, restarts and inputs, and what must hold after it.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { settleJournal } from "../../src/snapshot/interrupted.ts";
import { journaledUids } from "../../src/snapshot/journal.ts";
import { planSnapshot } from "../../src/snapshot/plan.ts";
import { recoverSnapshot } from "../../src/snapshot/recover.ts";
import { type RunOptions, runSnapshot, type SnapshotJob, type SnapshotReport } from "../../src/snapshot/run.ts";
import { silentLog } from "../support/silent-log.ts";
import { AutoClock } from "./auto-clock.ts";
import { type FileFault, FileFaults } from "./file-faults.ts";
import { SimulatedGuest } from "./simulated-guest.ts";
import { type Fault, SimulatedProcess } from "./simulated-process.ts";

export interface Scenario {
  readonly major: 7 | 10;
  readonly capture: "paused" | "live";
  readonly memory: boolean;
  readonly ranBefore: boolean;
  /** vdb is a -drive disk: it can only be committed. */
  readonly drive: boolean;
  readonly manual: boolean;
  readonly announce: boolean;
  /** Later lives begin with a session that somebody else opened, as the agent does. */
  readonly lent: boolean;
  /** What is decided so many seconds into the hold; the deadline is at 600 s. */
  readonly decision: { readonly word: "Released" | "Aborted"; readonly afterSeconds: number };
  /** Faults of each life of the program; a last one without faults follows. */
  readonly lives: readonly (readonly Fault[])[];
  /** What the file system does in the first life. */
  readonly file?: FileFault;
  /** Steps of the wall clock in milliseconds, one every minute of the hold. */
  readonly clockJumps?: readonly number[];
}

export interface Outcome {
  readonly report: SnapshotReport;
  /** What was broken; empty for a scenario that went as promised. */
  readonly broken: readonly string[];
  readonly story: readonly string[];
  /** The commands of the first life. */
  readonly commands: readonly string[];
  /** The file operations of the first life. */
  readonly operations: readonly string[];
  /** How long the guest was held, in seconds of the host's uptime. */
  readonly heldSeconds: number;
}

const uid = "5b0c1f0e-0000-4000-8000-000000000000";
/** Memory-backed where there is such a place: every journal line is fsynced. */
const scratch = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

export async function play(scenario: Scenario): Promise<Outcome> {
  const directory = await mkdtemp(join(scratch, "dsnap-sim-"));
  try {
    return await new Play(scenario, directory).run();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

class Play {
  readonly #scenario: Scenario;
  readonly #directory: string;
  readonly #time = new AutoClock();
  readonly #guest: SimulatedGuest;
  readonly #base: string;
  readonly #journals: string;
  readonly #before: { parameters: object; capabilities: object };
  readonly #story: string[] = [];
  #commands: readonly string[] = [];
  #operations: readonly string[] = [];
  #heldAt = 0;
  #resumedAt = 0;
  #desired: "Held" | "Released" | "Aborted" = "Held";
  #changed = Promise.withResolvers<void>();
  #deciding = false;
  #lives = 0;
  /** The counter on vda as its owner copied it while the guest was held. */
  #copied: number | undefined;

  constructor(scenario: Scenario, directory: string) {
    this.#scenario = scenario;
    this.#directory = directory;
    this.#base = join(directory, "vdb.raw");
    this.#journals = join(directory, "journal");
    this.#guest = new SimulatedGuest({
      ...scenario,
      disks: [
        { name: "vda", path: join(directory, "vda.raw"), drive: false },
        { name: "vdb", path: this.#base, drive: scenario.drive },
      ],
    });
    this.#before = {
      parameters: { ...this.#guest.parameters },
      capabilities: Object.fromEntries(this.#guest.capabilities),
    };
  }

  async run(): Promise<Outcome> {
    await mkdir(join(this.#directory, "snapshots"));
    await writeFile(this.#base, "base");
    await writeFile(join(this.#directory, "vda.raw"), "base");
    await writeFile(join(this.#directory, "snapshots", "bystander"), "not ours");
    let report = await this.#firstLife();
    for (const faults of [...this.#scenario.lives.slice(1), []]) {
      report = (await this.#live(faults, false)) ?? report;
      if (report !== undefined) await settleJournal({ directory: this.#journals, uid });
    }
    const told = {
      story: this.#story,
      commands: this.#commands,
      operations: this.#operations,
      heldSeconds: (this.#resumedAt - this.#heldAt) / 1000,
    };
    if (report === undefined) return { report: { phase: "Preparing" }, broken: await this.#untouched(), ...told };
    return { report, broken: await this.#broken(report), ...told };
  }

  async #firstLife(): Promise<SnapshotReport | undefined> {
    using files = new FileFaults(this.#directory, this.#scenario.file);
    try {
      return await this.#live(this.#scenario.lives[0] ?? [], true);
    } finally {
      files.heal();
      this.#operations = files.operations;
    }
  }

  /** One life of the program; undefined if it died, or found nothing to recover. */
  async #live(faults: readonly Fault[], first: boolean): Promise<SnapshotReport | undefined> {
    const process = new SimulatedProcess({ guest: this.#guest, time: this.#time, faults });
    const options = this.#options(process);
    const work = first ? runSnapshot(this.#job(), options) : this.#recover(options);
    const failed = (error: unknown) => {
      if (process.isDead) return undefined;
      throw error;
    };
    const report = await Promise.race([work.catch(failed), process.died]);
    process.end();
    if (first) this.#commands = process.sent;
    const outcome = process.isDead ? "died" : `${report?.phase} ${report?.error?.reason ?? ""}`;
    this.#story.push(
      `${process.sent.join(" ")} => ${outcome}; guest ${this.#guest.alive ? this.#guest.runState : "gone"}`,
    );
    return process.isDead ? undefined : (report ?? undefined);
  }

  async #recover(options: RunOptions): Promise<SnapshotReport | undefined> {
    if (!(await journaledUids(this.#journals)).includes(uid)) return undefined;
    if (!this.#scenario.lent || !this.#guest.alive || options.openGuest === undefined)
      return await recoverSnapshot(uid, options);
    return await recoverSnapshot(uid, { ...options, guest: await options.openGuest() });
  }

  #options(process: SimulatedProcess): RunOptions {
    const { clock } = process;
    return {
      clock,
      openGuest: async () => await process.openGuest(),
      boot: {
        uptimeSeconds: async () => await Promise.resolve(this.#time.monotonic() / 1000),
        bootId: async () => await Promise.resolve("boot-1"),
      },
      control: {
        desired: () => this.#desired,
        hold: () => ({ timeoutSeconds: 600, onTimeout: "Resume" }),
        wait: async (signal) => {
          const aborted = Promise.withResolvers<never>();
          signal.addEventListener("abort", () => aborted.reject(signal.reason), { once: true });
          await Promise.race([this.#changed.promise, aborted.promise]);
        },
      },
      journalDirectory: this.#journals,
      // A lock ends with its process, and these all live in one.
      lockDirectory: join(this.#directory, `locks-${this.#lives++}`),
      onReport: (report) => {
        if (report.phase === "ManualStoragePending" && !process.isDead) void this.#decide();
      },
      log: silentLog,
      signal: new AbortController().signal,
    };
  }

  /** The owner of vda copies it, then says the word: known to every life that follows. */
  async #decide(): Promise<void> {
    if (this.#deciding) return;
    this.#deciding = true;
    this.#heldAt = this.#time.monotonic();
    this.#guest.subscribe(({ event }) => {
      if (event === "RESUME") this.#resumedAt = this.#time.monotonic();
    });
    void this.#jump();
    if (this.#guest.alive) this.#copied = this.#guest.read("vda");
    await this.#time.sleep(this.#scenario.decision.afterSeconds * 1000);
    this.#desired = this.#scenario.decision.word;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #jump(): Promise<void> {
    for (const milliseconds of this.#scenario.clockJumps ?? []) {
      await this.#time.sleep(60_000);
      this.#time.jump(milliseconds);
    }
  }

  #job(): SnapshotJob {
    const { capture, memory, manual, announce } = this.#scenario;
    const known = { readOnly: false, empty: false, sourceType: "File" };
    const plan = planSnapshot(
      {
        ...{ namespace: "shop", name: "snap", uid, capture: memory ? capture : "paused", quiesce: "Never" },
        memory: { snapshot: memory ? "external" : "none" },
        disks: [{ name: "vda", snapshot: manual ? "manual" : "none" }],
      },
      {
        disks: [
          { name: "vda", ...known },
          { name: "vdb", ...known },
        ],
      },
    );
    return {
      ...{ uid, namespace: "shop", name: "snap", plan },
      domain: {
        ...{ namespace: "shop", name: "guest", monitorPath: "/simulated/monitor", monitor: "dedicated" },
        ...{ snapshotDirectory: join(this.#directory, "snapshots"), allowedDirectories: [] },
        ...(announce && { diskChangeCommand: ["sh", "-c", `cat >> '${join(this.#directory, "announced")}'`] }),
      },
    };
  }

  /** The promises of the engine, in words where they are broken. */
  async #broken(report: SnapshotReport): Promise<string[]> {
    const guest = this.#guest;
    const { ranBefore, memory, manual } = this.#scenario;
    const broken: string[] = [];
    const must = (holds: boolean, what: string) => {
      if (!holds) broken.push(what);
    };
    const files = (await readdir(this.#directory, { recursive: true })).map((name) => join(this.#directory, name));
    must(files.includes(join(this.#directory, "snapshots", "bystander")), "a file of somebody else was removed");
    must(report.phase === "Completed" || report.phase === "Failed", `the last report says ${report.phase}`);
    // Where files can neither be written nor removed any more, half a manifest is all that may stay.
    const readOnly = this.#scenario.file?.lasts === true && report.error?.message.includes("manifest was not written");
    const partial = files.filter((file) => file.endsWith(".partial") && !(readOnly === true && /json|xml/.test(file)));
    must(partial.length === 0, `left over: ${partial.join()}`);
    must((await journaledUids(this.#journals)).length === 0, "the journal is left over");
    for (const name of ["vda", "vdb"]) {
      const root = guest.images.get(join(this.#directory, `${name}.raw.root`));
      must(root === 0, `the base of an earlier snapshot of ${name} was changed: it holds ${root}`);
    }
    must(guest.damage === undefined, `the guest was damaged: ${guest.damage}`);
    for (const { name } of guest.devices) {
      const chain = guest.chain(name).filter((image) => !image.endsWith(".root"));
      for (const image of chain) must(files.includes(image), `${image} was removed under the guest`);
    }
    if (guest.alive) {
      const runs = guest.runState === "running";
      must(runs || !ranBefore, `the guest ran before and is ${guest.runState}`);
      for (const { name } of guest.devices) {
        must(
          guest.read(name) === guest.counter,
          `${name} reads ${guest.read(name)} where the guest wrote ${guest.counter}`,
        );
      }
      must(guest.objects.size === 0 || report.error?.reason === "GuestLost", "the mark is left over");
      must([...guest.jobs].length === 0 || report.error?.reason === "GuestLost", "a job is left over");
      must(
        sameNumbers(guest.parameters, this.#before.parameters) || report.error?.reason === "GuestLost",
        "QEMU's parameters were not put back",
      );
      must(
        JSON.stringify(Object.fromEntries(guest.capabilities)) === JSON.stringify(this.#before.capabilities) ||
          report.error?.reason === "GuestLost",
        "QEMU's capabilities were not put back",
      );
    }
    const memoryFile = files.find((file) => file.endsWith(".mem"));
    const overlay = files.find((file) => file.endsWith("vdb.snap"));
    if (report.phase === "Completed") {
      const saved = memoryFile === undefined ? undefined : Number(await readFile(memoryFile, "utf8"));
      const base = guest.images.get(this.#base);
      must(!memory || saved !== undefined, "Completed without its memory");
      must(overlay !== undefined && guest.image("vdb") === overlay, "Completed, but vdb is not on its overlay");
      must(!memory || saved === base, `memory is of ${saved}, vdb of ${base}`);
      must(!manual || this.#copied === base, `vda was copied at ${this.#copied}, vdb is of ${base}`);
      must(report.manifest !== undefined, "Completed without a manifest");
    } else if (
      guest.alive &&
      !["HoldExpired", "HoldLost", "GuestLost"].includes(report.error?.reason ?? "") &&
      !/are whole and kept/.test(report.error?.message ?? "")
    ) {
      must(guest.image("vdb") === this.#base, `rolled back, but vdb is on ${guest.image("vdb")}`);
      must(overlay === undefined, "rolled back, but the overlay is left over");
      must(memoryFile === undefined, "rolled back, but the memory is left over");
      must(
        [...guest.nodes.keys()].every((name) => !name.startsWith("dsnap-")),
        "rolled back, but nodes are left over",
      );
    }
    if (this.#scenario.announce && guest.alive && report.error?.reason !== "GuestLost") {
      const told = await readFile(join(this.#directory, "announced"), "utf8").catch(() => "");
      const last = told.trim().split("\n").at(-1) ?? "";
      const path = last === "" ? this.#base : String(JSON.parse(last).newPath);
      must(path === guest.image("vdb"), `whoever starts the guest was told ${path}, it is on ${guest.image("vdb")}`);
    }
    return broken;
  }

  /** Died before anything was done, and left nothing. */
  async #untouched(): Promise<string[]> {
    const files = await readdir(this.#directory, { recursive: true });
    const broken = files
      .filter((file) => /\.partial$|\.mem$|vdb\.snap$/.test(file))
      .map((file) => `${file} is left over`);
    if (this.#scenario.ranBefore && this.#guest.alive && this.#guest.runState !== "running")
      broken.push("the guest stands still");
    return broken;
  }
}

/** 0 and "unlimited" are the same bandwidth. */
function sameNumbers(left: object, right: object): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
