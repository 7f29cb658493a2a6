// The whole system on one machine, every part real and in a process of its own: API server, operator, agent, guest.

import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import { tokenConfig } from "../../src/kube/in-cluster-config.ts";
import { KubeClient } from "../../src/kube/kube-client.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import { type ClusterView, createClusterView } from "../../src/operator/cluster-view.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";
import { ensureGuestImage } from "../guest/image.ts";
import { ensureQemu, type Qemu, type QemuVersion } from "../guest/qemu.ts";
import { createDisk, type GuestDisk, TestGuest } from "../guest/test-guest.ts";
import { awaitObject } from "./await-object.ts";
import { ManagedProcess } from "./managed-process.ts";
import { checkoutPath, mainArgv } from "./node-arguments.ts";

export const systemNamespace = "domain-snapshot-system";
export const namespace = "demo";
export const domainName = "demo";
export const nodeName = "node-1";

/** The demo guest's disks: vda and vdc raw, vdb qcow2, a read-only CD and an empty drive. */
export function demoDisks(paths: { vda: string; vdb: string; vdc: string; cd: string }): GuestDisk[] {
  return [
    { name: "vda", format: "raw", path: paths.vda },
    { name: "vdb", format: "qcow2", path: paths.vdb },
    { name: "vdc", format: "raw", path: paths.vdc },
    { name: "cd0", bus: "cdrom", path: paths.cd },
    { name: "cd1", bus: "cdrom" },
  ];
}

export interface StackOptions {
  readonly qemu?: QemuVersion;
  readonly touchMebibytes?: number;
  readonly memoryMebibytes?: number;
  readonly progress?: (line: string) => void;
}

export class Stack implements AsyncDisposable {
  readonly directory: string;
  readonly plane: ControlPlane;
  readonly qemu: Qemu;
  readonly guest: TestGuest;
  readonly operator: ManagedProcess;
  readonly agent: ManagedProcess;
  /** Caches of our kinds, watched as admin. */
  readonly view: ClusterView;
  readonly #client: KubeClient;
  readonly #stop = new AbortController();
  readonly #watching: Promise<unknown>;

  private constructor(options: {
    directory: string;
    plane: ControlPlane;
    qemu: Qemu;
    guest: TestGuest;
    operator: ManagedProcess;
    agent: ManagedProcess;
    client: KubeClient;
  }) {
    this.directory = options.directory;
    this.plane = options.plane;
    this.qemu = options.qemu;
    this.guest = options.guest;
    this.operator = options.operator;
    this.agent = options.agent;
    this.#client = options.client;
    this.view = createClusterView(options.client);
    const log = createLogger({ level: "fatal" });
    const { snapshots, contents, domains } = this.view;
    const follow = async (reflector: { run(signal: AbortSignal): Promise<void> }) =>
      await reflector.run(this.#stop.signal);
    this.#watching = Promise.all([
      follow(new Reflector({ ...snapshots, clock, random: Math.random, log })),
      follow(new Reflector({ ...contents, clock, random: Math.random, log })),
      follow(new Reflector({ ...domains, clock, random: Math.random, log })),
    ]);
  }

  static async start(options: StackOptions = {}): Promise<Stack> {
    const { progress = () => undefined } = options;
    const qemu = ensureQemu(options.qemu ?? "7.2", progress);
    const image = ensureGuestImage(progress);
    const directory = await mkdtemp(join(tmpdir(), "dsnap-stack-"));
    progress("starting etcd and kube-apiserver");
    const plane = await startControlPlane({ progress });
    await installSystem(plane);
    progress(`booting the guest (QEMU ${qemu.version}, TCG)`);
    const images = join(directory, "images");
    const snapshotDirectory = join(directory, "snapshots");
    await mkdir(images);
    await mkdir(snapshotDirectory);
    const disks = demoDisks({
      vda: createDisk(qemu, join(images, "vda.raw"), "raw"),
      vdb: createDisk(qemu, join(images, "vdb.qcow2"), "qcow2"),
      vdc: createDisk(qemu, join(images, "vdc.raw"), "raw"),
      cd: createDisk(qemu, join(images, "cd.raw"), "raw", 1),
    });
    const uuid = randomUUID();
    const { memoryMebibytes, touchMebibytes = 64 } = options;
    const guest = await TestGuest.start({
      ...{ qemu, image, directory, disks, uuid, name: "demo", touchMebibytes },
      ...(memoryMebibytes !== undefined && { memoryMebibytes }),
    });
    progress("starting operator and agent, each with its own ServiceAccount");
    const operator = await startOperator(plane, directory);
    const agent = await startAgent({ plane, directory, snapshotDirectory, guest });
    const token = join(directory, "admin.token");
    await writeFile(token, plane.adminToken, { mode: 0o600 });
    const client = new KubeClient({
      config: tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile: token }),
      log: createLogger({ level: "fatal" }),
      clock,
      userAgent: "test",
    });
    const stack = new Stack({ directory, plane, qemu, guest, operator, agent, client });
    try {
      await stack.#domainIsReady();
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  get imagesDirectory(): string {
    return join(this.directory, "images");
  }

  get snapshotDirectory(): string {
    return join(this.directory, "snapshots");
  }

  /** Waits until the DomainSnapshot is as wanted. */
  async until(
    name: string,
    what: string,
    predicate: (snapshot: DomainSnapshot) => boolean,
    timeoutMilliseconds = 60_000,
  ): Promise<DomainSnapshot> {
    const { store } = this.view.snapshots;
    return await awaitObject({ store, key: `${namespace}/${name}`, what, predicate, timeoutMilliseconds });
  }

  /** Sets spec.resume, as a hook does; resolves with the wall-clock time of the accepted patch, in milliseconds. */
  async resume(name: string): Promise<number> {
    await this.view.snapshots.client.mergePatch(name, namespace, { spec: { resume: true } });
    return clock.now();
  }

  /** Lets every process outlive this one. */
  async release(): Promise<void> {
    await this.#unwatch();
    for (const process of [this.guest.process, this.operator, this.agent]) process.release();
    this.plane.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unwatch();
    await this.agent.stop();
    await this.operator.stop();
    await this.guest.stop();
    await this.plane.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #unwatch(): Promise<void> {
    this.#stop.abort();
    await this.#watching.catch(() => undefined);
    await this.#client.close();
  }

  async #domainIsReady(): Promise<void> {
    const { store } = this.view.domains;
    await awaitObject({
      store,
      key: `${namespace}/${domainName}`,
      what: "Ready",
      predicate: (domain) =>
        domain.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true,
      timeoutMilliseconds: 30_000,
    });
  }
}

/** CRDs, namespaces, ServiceAccounts and RBAC as they are shipped; a Node object for the agent's token. */
async function installSystem(plane: ControlPlane): Promise<void> {
  await plane.installCrds();
  for (const file of ["namespace", "service-accounts", "rbac-operator", "rbac-agent"]) {
    await plane.apply(await readFile(checkoutPath(`deploy/${file}.yaml`), "utf8"));
  }
  await plane.kubectl(["create", "namespace", namespace]);
  await plane.apply(`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "${nodeName}"}}`);
}

async function startOperator(plane: ControlPlane, directory: string): Promise<ManagedProcess> {
  const token = await plane.tokenFor({ namespace: systemNamespace, name: "domain-snapshot-operator" });
  const tokenFile = join(directory, "operator.token");
  await writeFile(tokenFile, token, { mode: 0o600 });
  const cluster = ["--server", plane.server, "--ca-file", plane.caFile, "--token-file", tokenFile];
  return new ManagedProcess({
    name: "operator",
    logFile: join(directory, "operator.log"),
    argv: mainArgv("operator", [...cluster, "--identity", "operator-1", "--log-level", "debug"]),
  });
}

async function startAgent(options: {
  plane: ControlPlane;
  directory: string;
  snapshotDirectory: string;
  guest: TestGuest;
}): Promise<ManagedProcess> {
  const { plane, directory, snapshotDirectory, guest } = options;
  const token = await plane.tokenFor({ namespace: systemNamespace, name: "domain-snapshot-agent" }, { node: nodeName });
  const tokenFile = join(directory, "agent.token");
  await writeFile(tokenFile, token, { mode: 0o600 });
  const configuration = join(directory, "agent.yaml");
  await writeFile(
    configuration,
    JSON.stringify({
      stateDirectory: join(directory, "state"),
      domains: [
        {
          namespace,
          name: domainName,
          socket: guest.monitorPath,
          snapshotDirectory,
          allowedDirectories: [join(directory, "images")],
        },
      ],
    }),
  );
  const cluster = ["--server", plane.server, "--ca-file", plane.caFile, "--token-file", tokenFile];
  const locks = ["--lock-directory", join(directory, "locks")];
  return new ManagedProcess({
    name: "agent",
    logFile: join(directory, "agent.log"),
    argv: mainArgv("agent", [
      ...cluster,
      ...locks,
      "--config",
      configuration,
      "--node-name",
      nodeName,
      "--log-level",
      "debug",
    ]),
  });
}
