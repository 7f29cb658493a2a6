// A whole system whose monitor can be made to fail: plays one cell after another on it, and checks what must hold.

import { existsSync } from "node:fs";
import { copyFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { namespace, Stack, systemNamespace } from "../stack/stack.ts";
import { announceScript } from "./announce-script.ts";
import { allowedEnds, type Cell, type FaultName, steps } from "./cells.ts";
import { FaultyMonitor } from "./faulty-monitor.ts";

const endMilliseconds = 120_000;
const awayMilliseconds = 2000;

const blocks = z.array(
  z.looseObject({ qdev: z.string().optional(), inserted: z.looseObject({ file: z.string() }).optional() }),
);
const named = z.array(z.looseObject({ name: z.string() }));
const jobs = z.array(z.looseObject({ id: z.string() }));
const nodes = z.array(z.looseObject({ "node-name": z.string().optional() }));
const parameters = z.looseObject({ "downtime-limit": z.number() });

/** What a cell that is rolled back must leave as it was. */
interface Facts {
  readonly image: string;
  readonly downtimeLimit: number;
  readonly files: readonly string[];
}

export interface CellResult {
  readonly end: string;
  readonly seconds: number;
  /** What was broken; empty for a cell that went as promised. */
  readonly broken: readonly string[];
}

export class FaultLab implements AsyncDisposable {
  readonly #stack: Stack;
  readonly #monitor: FaultyMonitor;
  #count = 0;
  /** Gives back what a fault took away for a while. */
  #giveBack: Promise<void> = Promise.resolve();

  private constructor(stack: Stack, monitor: FaultyMonitor) {
    this.#stack = stack;
    this.#monitor = monitor;
  }

  static async start(progress: (line: string) => void = () => undefined): Promise<FaultLab> {
    let monitor: FaultyMonitor | undefined;
    const stack = await Stack.start({
      progress,
      touchMebibytes: 16,
      operators: 2,
      monitorFor: async (guest) => {
        monitor = await FaultyMonitor.listen(join(guest.options.directory, "faulty.qmp"), () => guest.monitorPath);
        return monitor.path;
      },
      domainFor: (directory) => ({ diskChangeCommand: ["/bin/sh", "-c", announceScript, "announce", directory] }),
    });
    if (monitor === undefined) throw new Error("the stack asked for no monitor");
    return new FaultLab(stack, monitor);
  }

  /** Plays the cell; the system is whole again after it. */
  async play(cell: Cell): Promise<CellResult> {
    this.#count += 1;
    const name = `cell-${this.#count}`;
    const startedAt = performance.now();
    const before = await this.#factsNow();
    const struck = this.#arm(cell, name);
    const broken: string[] = [];
    let end = "none";
    try {
      await this.#stack.plane.apply(manifest(name, cell));
      const owner = this.#playOwner(name, cell.step === "hold" ? struck : Promise.resolve());
      const late = new AbortController();
      const never = delay(endMilliseconds, undefined, { signal: late.signal }).then(() => {
        throw new Error("the fault never struck");
      });
      await Promise.race([struck, never]).finally(() => late.abort());
      never.catch(() => undefined);
      await this.#giveBack;
      const snapshot = await this.#stack.until(name, "ended", isEnded, endMilliseconds);
      await owner;
      end = snapshot.status?.error?.reason ?? snapshot.status?.phase ?? "none";
      broken.push(...(await this.#broken(cell, snapshot, before)));
    } catch (error) {
      broken.push(error instanceof Error ? error.message.slice(0, 400) : String(error));
    }
    await this.#mend();
    return { end, seconds: (performance.now() - startedAt) / 1000, broken };
  }

  /**
   * Holds a guest that nobody resumes, with a part of the system away; `end` says how long after its deadline it ran, by
   * the node's own times.
   */
  async playDeadline(away: "nothing" | FaultName): Promise<CellResult> {
    this.#count += 1;
    const name = `cell-${this.#count}`;
    const startedAt = performance.now();
    const broken: string[] = [];
    let end = "none";
    try {
      await this.#stack.plane.apply(manifest(name, { capture: "paused", holdSeconds: 8 }));
      await this.#stack.until(name, "held", isHeldOrEnded, endMilliseconds);
      if (away !== "nothing") await this.#strike(away);
      await this.#giveBack;
      const { status } = await this.#stack.until(name, "ended", isEnded, endMilliseconds);
      const lateMilliseconds = Date.parse(status?.resumedAt ?? "") - Date.parse(status?.holdDeadline ?? "");
      end = `${status?.error?.reason}, ${lateMilliseconds} ms beyond the deadline`;
      if (status?.error?.reason !== "HoldExpired") broken.push(`ended ${status?.error?.reason}`);
      await this.#stack.guest.waitForMoreTicks(3).catch(() => broken.push("the guest stands still"));
    } catch (error) {
      broken.push(error instanceof Error ? error.message.slice(0, 400) : String(error));
    }
    await this.#mend();
    return { end, seconds: (performance.now() - startedAt) / 1000, broken };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
    await this.#monitor[Symbol.asyncDispose]();
  }

  /** Resolves once the fault has struck. */
  async #arm({ step, fault, moment }: Cell, name: string): Promise<void> {
    const known = steps[step];
    if ("command" in known) {
      const treatment = fault === "commandError" ? "refuse" : fault === "commandHang" ? "swallow" : moment;
      return await this.#monitor.trap(known.command, treatment, async () => await this.#strike(fault));
    }
    if (step === "hold") {
      await this.#stack.until(name, "held", isHeldOrEnded, endMilliseconds);
      return await this.#strike(fault);
    }
    const how = fault === "commandError" ? "fail" : fault === "commandHang" ? "hang" : "wait";
    await writeFile(this.#file("announce-trap"), how);
    while (!existsSync(this.#file("announce-sprung"))) await delay(20);
    await rm(this.#file("announce-sprung"));
    await this.#strike(fault);
    await writeFile(this.#file("announce-go"), "");
  }

  async #strike(fault: FaultName): Promise<void> {
    const stack = this.#stack;
    switch (fault) {
      case "agentKilled":
        await stack.agent.stop("SIGKILL");
        this.#monitor.cut();
        stack.startAgent();
        return;
      case "operatorKilled": {
        const lease = ["get", "lease", "-n", systemNamespace, "domain-snapshot-operator"];
        const holder = await stack.plane.kubectl([...lease, "-o", "jsonpath={.spec.holderIdentity}"]);
        // Its place is taken by the other replica; it comes back when the cell is over.
        await stack.operators[holder.trim().startsWith("operator-2") ? 1 : 0]?.stop("SIGKILL");
        return;
      }
      case "apiServerStopped":
        await stack.plane.stopApiServer("SIGKILL");
        this.#giveBack = delay(awayMilliseconds).then(async () => await stack.plane.startApiServer());
        return;
      case "linkCut":
        this.#monitor.cut();
        return;
      case "qemuKilled":
        await stack.guest.stop("SIGKILL");
        await this.#monitor.close();
        return;
      case "commandError":
      case "commandHang":
        return;
    }
  }

  /** The storage's owner: copies vda while the guest is held, then says so, however long that takes. */
  async #playOwner(name: string, first: Promise<void>): Promise<void> {
    const { phase } = (await this.#stack.until(name, "held", isHeldOrEnded, endMilliseconds)).status ?? {};
    if (phase !== "ManualStoragePending") return;
    await first;
    await copyFile(join(this.#stack.imagesDirectory, "vda.raw"), this.#file("vda.cut"));
    for (;;) {
      try {
        await this.#stack.resume(name);
        return;
      } catch (error) {
        const now = this.#stack.view.snapshots.store.get(`${namespace}/${name}`);
        if (now !== undefined && isEnded(now)) return;
        if (String(error).includes("Invalid")) throw error;
        await delay(200);
      }
    }
  }

  async #facts(monitor: RawMonitor): Promise<Facts> {
    const found = blocks.parse(await monitor.execute("query-block"));
    const image = found.find(({ qdev }) => qdev?.includes("vdb"))?.inserted?.file ?? "";
    const settings = parameters.parse(await monitor.execute("query-migrate-parameters"));
    return { image, downtimeLimit: settings["downtime-limit"], files: await this.#files() };
  }

  async #factsNow(): Promise<Facts> {
    using monitor = await RawMonitor.connect(this.#stack.guest.testMonitorPath);
    return await this.#facts(monitor);
  }

  async #files(): Promise<string[]> {
    const { imagesDirectory, snapshotDirectory } = this.#stack;
    return [...(await readdir(imagesDirectory)), ...(await readdir(snapshotDirectory))].toSorted();
  }

  async #broken(cell: Cell, { status }: DomainSnapshot, before: Facts): Promise<string[]> {
    const broken: string[] = [];
    const must = (holds: boolean, what: string) => {
      if (!holds) broken.push(what);
    };
    const end = status?.error?.reason ?? status?.phase ?? "none";
    must(
      allowedEnds(cell).includes(end),
      `ended ${end} (${status?.error?.message}), expected ${allowedEnds(cell).join(" or ")}`,
    );
    await this.#journalsAreClosed().catch((error: unknown) => broken.push(String(error)));
    const files = await this.#files();
    must(
      !files.some((file) => file.endsWith(".partial")),
      `left over: ${files.filter((file) => file.endsWith(".partial")).join()}`,
    );
    const overlay = status?.disks
      ?.find(({ name }) => name === "vdb")
      ?.overlay?.split("/")
      .at(-1);
    must(overlay === undefined || files.includes(overlay), `status names ${overlay}, which is not there`);
    if (cell.fault === "qemuKilled") return broken;
    const { guest } = this.#stack;
    await guest.waitForMoreTicks(3).catch(() => broken.push("the guest stands still"));
    must(
      guest.mismatch(["vda", "vdb", "vdc"]) === undefined,
      `the guest reads what it did not write: ${guest.mismatch(["vda", "vdb", "vdc"])}`,
    );
    using monitor = await RawMonitor.connect(guest.testMonitorPath);
    must((await monitor.runState()) === "running", `the guest is ${await monitor.runState()}`);
    must(jobs.parse(await monitor.execute("query-jobs")).length === 0, "a job is left over");
    const objects = named.parse(await monitor.execute("qom-list", { path: "/objects" }));
    must(!objects.some(({ name }) => name.startsWith("dsnap-")), "the mark is left over");
    const now = await this.#facts(monitor);
    must(
      now.downtimeLimit === before.downtimeLimit,
      `downtime-limit is ${now.downtimeLimit}, was ${before.downtimeLimit}`,
    );
    if (status?.phase === "Completed") {
      must(overlay !== undefined && now.image.endsWith(overlay), `Completed, and vdb is on ${now.image}`);
      must(files.includes(status.memory?.file ?? "none"), "Completed without its memory");
    } else {
      must(now.image === before.image, `rolled back, and vdb is on ${now.image}, not ${before.image}`);
      must(
        files.join() === before.files.join(),
        `rolled back, and there are ${files.filter((file) => !before.files.includes(file)).join()}`,
      );
      const all = nodes.parse(await monitor.execute("query-named-block-nodes", { flat: true }));
      const kept = all.filter(
        (node) => node["node-name"]?.startsWith("dsnap-") === true && !before.image.includes("cell"),
      );
      must(kept.length === 0, "rolled back, and nodes are left over");
    }
    const told = await readFile(this.#file("announced"), "utf8").catch(() => "");
    const last = told.trim().split("\n").at(-1) ?? "";
    if (last !== "")
      must(JSON.parse(last).newPath === now.image, `${JSON.parse(last).newPath} was announced, vdb is on ${now.image}`);
    return broken;
  }

  async #journalsAreClosed(): Promise<void> {
    const directory = this.#file("state/journal");
    const giveUpAt = performance.now() + 15_000;
    for (let names = await readdir(directory); names.length > 0; names = await readdir(directory)) {
      if (performance.now() > giveUpAt) throw new Error(`journals are left over: ${names.join()}`);
      await delay(50);
    }
  }

  /** Everything runs again, whatever the cell did. */
  async #mend(): Promise<void> {
    const stack = this.#stack;
    this.#monitor.disarm();
    await this.#giveBack;
    for (const file of ["announce-trap", "announce-sprung", "announce-go"]) await rm(this.#file(file), { force: true });
    for (const [index, operator] of stack.operators.entries()) if (!operator.running) stack.startOperator(index);
    if (!stack.agent.running) stack.startAgent();
    if (!stack.guest.process.running) {
      await rm(this.#file("announced"), { force: true });
      await stack.startGuest();
      await this.#monitor.open();
    }
    await stack.domainIsReady();
  }

  #file(name: string): string {
    return join(this.#stack.directory, name);
  }
}

function manifest(name: string, options: { capture: Cell["capture"]; holdSeconds?: number }): string {
  const { capture, holdSeconds = 100 } = options;
  return JSON.stringify({
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshot",
    metadata: { name, namespace },
    spec: {
      domainRef: { name: "demo" },
      capture,
      memory: { snapshot: "external" },
      disks: [
        { name: "vda", snapshot: "manual" },
        { name: "vdb", snapshot: "external" },
        { name: "vdc", snapshot: "none" },
      ],
      hold: { timeoutSeconds: holdSeconds, onTimeout: "Resume" },
    },
  });
}

const isEnded = ({ status }: DomainSnapshot) => status?.phase === "Completed" || status?.phase === "Failed";
const isHeldOrEnded = (snapshot: DomainSnapshot) =>
  snapshot.status?.phase === "ManualStoragePending" || snapshot.status?.phase === "Resuming" || isEnded(snapshot);
