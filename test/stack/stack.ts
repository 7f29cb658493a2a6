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
  /** What stands between agent and guest: gets the guest's monitor path, gives the one that the agent is told. */
  readonly monitorFor?: (guest: TestGuest) => Promise<string>;
  /** What stands between our programs and the API server: gives the URL that they are told. */
  readonly serverFor?: (plane: ControlPlane) => Promise<string>;
  /** More fields of the guest in the agent's configuration. */
  readonly domainFor?: (directory: string) => Readonly<Record<string, unknown>>;
  /** Replicas of the operator; one of them leads. */
  readonly operators?: number;
}

export class Stack implements AsyncDisposable {
  readonly directory: string;
  readonly plane: ControlPlane;
  readonly qemu: Qemu;
  guest: TestGuest;
  readonly operators: ManagedProcess[];
  agent: ManagedProcess;
  /** Caches of our kinds, watched as admin. */
  readonly view: ClusterView;
  readonly #client: KubeClient;
  readonly #stop = new AbortController();
  readonly #watching: Promise<unknown>;
  readonly #programs: Programs;

  private constructor(options: {
    directory: string;
    plane: ControlPlane;
    qemu: Qemu;
    guest: TestGuest;
    operators: ManagedProcess[];
    agent: ManagedProcess;
    programs: Programs;
    client: KubeClient;
  }) {
    this.directory = options.directory;
    this.plane = options.plane;
    this.qemu = options.qemu;
    this.guest = options.guest;
    this.operators = options.operators;
    this.agent = options.agent;
    this.#programs = options.programs;
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
    await mkdir(join(directory, "snapshots"));
    const disks = await freshDisks(qemu, directory);
    const uuid = randomUUID();
    const { memoryMebibytes, touchMebibytes = 64 } = options;
    const guest = await TestGuest.start({
      ...{ qemu, image, directory, disks, uuid, name: "demo", touchMebibytes },
      ...(memoryMebibytes !== undefined && { memoryMebibytes }),
    });
    progress("starting operator and agent, each with its own ServiceAccount");
    const socket = (await options.monitorFor?.(guest)) ?? guest.monitorPath;
    const server = (await options.serverFor?.(plane)) ?? plane.server;
    const programs = await preparePrograms({
      plane,
      server,
      directory,
      domain: { socket, ...options.domainFor?.(directory) },
    });
    const operators = Array.from({ length: options.operators ?? 1 }, (_, index) => programs.operator(index));
    const agent = programs.agent();
    const token = join(directory, "admin.token");
    await writeFile(token, plane.adminToken, { mode: 0o600 });
    const client = new KubeClient({
      config: tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile: token }),
      log: createLogger({ level: "fatal" }),
      clock,
      userAgent: "test",
    });
    const stack = new Stack({ directory, plane, qemu, guest, operators, agent, programs, client });
    try {
      await stack.domainIsReady();
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  /** The operator of a stack that has one. */
  get operator(): ManagedProcess {
    const [operator] = this.operators;
    if (operator === undefined) throw new Error("this stack has no operator");
    return operator;
  }

  /** Another agent in the place of one that has ended. */
  startAgent(): void {
    this.agent = this.#programs.agent();
  }

  /** Another operator in the place of one that has ended. */
  startOperator(index: number): void {
    this.operators[index] = this.#programs.operator(index);
  }

  /** Another guest in the place of one that has ended, on new disks. */
  async startGuest(): Promise<void> {
    await freshDisks(this.qemu, this.directory);
    this.guest = await TestGuest.start({ ...this.guest.options, uuid: this.guest.uuid });
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
    for (const process of [this.guest.process, ...this.operators, this.agent]) process.release();
    this.plane.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unwatch();
    await this.agent.stop();
    for (const operator of this.operators) await operator.stop();
    await this.guest.stop();
    await this.plane.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #unwatch(): Promise<void> {
    this.#stop.abort();
    await this.#watching.catch(() => undefined);
    await this.#client.close();
  }

  /** Waits until the agent says that the guest can be talked to. */
  async domainIsReady(): Promise<void> {
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

/** The guest's disks, empty, in `<directory>/images`. */
async function freshDisks(qemu: Qemu, directory: string): Promise<GuestDisk[]> {
  const images = join(directory, "images");
  await rm(images, { recursive: true, force: true });
  await mkdir(images);
  return demoDisks({
    vda: createDisk(qemu, join(images, "vda.raw"), "raw"),
    vdb: createDisk(qemu, join(images, "vdb.qcow2"), "qcow2"),
    vdc: createDisk(qemu, join(images, "vdc.raw"), "raw"),
    cd: createDisk(qemu, join(images, "cd.raw"), "raw", 1),
  });
}

/** How the programs of the stack are started, and started again. */
interface Programs {
  operator(index: number): ManagedProcess;
  agent(): ManagedProcess;
}

/** Credentials and configuration of operator and agent. */
async function preparePrograms(options: {
  plane: ControlPlane;
  server: string;
  directory: string;
  domain: Readonly<Record<string, unknown>>;
}): Promise<Programs> {
  const { plane, server, directory, domain } = options;
  const credentials = async (name: string, bound?: { node: string }) => {
    const tokenFile = join(directory, `${name}.token`);
    const account = { namespace: systemNamespace, name: `domain-snapshot-${name}` };
    await writeFile(tokenFile, await plane.tokenFor(account, bound), { mode: 0o600 });
    return ["--server", server, "--ca-file", plane.caFile, "--token-file", tokenFile, "--log-level", "debug"];
  };
  const operatorFlags = await credentials("operator");
  const agentFlags = await credentials("agent", { node: nodeName });
  const configuration = join(directory, "agent.yaml");
  const shared = { namespace, name: domainName, snapshotDirectory: join(directory, "snapshots") };
  const domains = [{ ...shared, allowedDirectories: [join(directory, "images")], ...domain }];
  await writeFile(configuration, JSON.stringify({ stateDirectory: join(directory, "state"), domains }));
  const own = ["--config", configuration, "--node-name", nodeName, "--lock-directory", join(directory, "locks")];
  return {
    operator: (index) =>
      new ManagedProcess({
        name: "operator",
        logFile: join(directory, `operator${index === 0 ? "" : index}.log`),
        argv: mainArgv("operator", [...operatorFlags, "--identity", `operator-${index + 1}`]),
      }),
    agent: () =>
      new ManagedProcess({
        name: "agent",
        logFile: join(directory, "agent.log"),
        argv: mainArgv("agent", [...agentFlags, ...own]),
      }),
  };
}
