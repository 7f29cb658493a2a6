// A real API server with the shipped RBAC, a real guest, and the agent as a process of its own under its ServiceAccount.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Domain } from "../../src/api/v1alpha1/domain.ts";
import type { ContentSpec, DomainSnapshotContent } from "../../src/api/v1alpha1/domain-snapshot-content.ts";
import { tokenConfig } from "../../src/kube/in-cluster-config.ts";
import { KubeClient } from "../../src/kube/kube-client.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import { type ClusterView, createClusterView } from "../../src/operator/cluster-view.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { type AuditEvent, acceptedWrites } from "../control-plane/api-writes.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";
import { ensureGuestImage } from "../guest/image.ts";
import { ensureQemu, type Qemu } from "../guest/qemu.ts";
import { createDisk, TestGuest } from "../guest/test-guest.ts";
import { awaitObject } from "../stack/await-object.ts";
import { ManagedProcess } from "../stack/managed-process.ts";
import { checkoutPath, mainArgv } from "../stack/node-arguments.ts";

export const namespace = "shop";
export const nodeName = "node-1";
export const guestUuid = "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a01";
const timeoutMilliseconds = 30_000;
const random = Math.random;

export class AgentFixture implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly directory: string;
  readonly view: ClusterView;
  readonly qemu: Qemu;
  readonly #client: KubeClient;
  readonly #stop = new AbortController();
  readonly #watching: Promise<unknown>;
  #contents = 0;

  private constructor(options: { plane: ControlPlane; directory: string; client: KubeClient; qemu: Qemu }) {
    this.plane = options.plane;
    this.directory = options.directory;
    this.qemu = options.qemu;
    this.#client = options.client;
    this.view = createClusterView(options.client);
    const { contents, domains } = this.view;
    const log = createLogger({ level: "fatal" });
    this.#watching = Promise.all([
      new Reflector({ ...contents, clock, random, log }).run(this.#stop.signal),
      new Reflector({ ...domains, clock, random, log }).run(this.#stop.signal),
    ]);
  }

  static async start(): Promise<AgentFixture> {
    const qemu = ensureQemu("7.2");
    const plane = await startControlPlane();
    await plane.installCrds();
    for (const file of ["namespace", "service-accounts", "rbac-agent"]) {
      await plane.apply(await readFile(checkoutPath(`deploy/${file}.yaml`), "utf8"));
    }
    await plane.kubectl(["create", "namespace", namespace]);
    const directory = await mkdtemp(join(tmpdir(), "dsnap-agent-"));
    const adminFile = join(directory, "admin.token");
    await writeFile(adminFile, plane.adminToken, { mode: 0o600 });
    const account = { namespace: "domain-snapshot-system", name: "domain-snapshot-agent" };
    await writeFile(join(directory, "agent.token"), await plane.tokenFor(account), { mode: 0o600 });
    const config = tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile: adminFile });
    const client = new KubeClient({ config, log: createLogger({ level: "fatal" }), clock, userAgent: "test" });
    return new AgentFixture({ plane, directory, client, qemu });
  }

  /** A guest with vda (raw) and vdb (qcow2), its files and its snapshots under a directory of its own. */
  async startGuest(name: string, uuid = guestUuid): Promise<TestGuest> {
    const directory = join(this.directory, name);
    await mkdir(join(directory, "snapshots"), { recursive: true });
    const vda = join(directory, "vda.raw");
    const vdb = join(directory, "vdb.qcow2");
    return await TestGuest.start({
      qemu: this.qemu,
      image: ensureGuestImage(),
      directory,
      name,
      uuid,
      disks: [
        { name: "vda", format: "raw", path: createDisk(this.qemu, vda, "raw") },
        { name: "vdb", format: "qcow2", path: createDisk(this.qemu, vdb, "qcow2") },
        { name: "cd0", bus: "cdrom" },
      ],
    });
  }

  /** What the configuration says of a guest of {@link startGuest}. */
  domain(name: string, extra: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
    const directory = join(this.directory, name);
    return {
      namespace,
      name,
      socket: join(directory, `${name}.qmp`),
      snapshotDirectory: join(directory, "snapshots"),
      allowedDirectories: [directory],
      ...extra,
    };
  }

  /** Starts the agent as a process; its state directory is its own unless named. */
  async startAgent(
    domains: readonly object[],
    stateName = `state-${Math.random().toString(36).slice(2)}`,
    configuration: object = {},
  ): Promise<ManagedProcess> {
    const stateDirectory = join(this.directory, stateName);
    const config = join(this.directory, `${stateName}.yaml`);
    await writeFile(config, JSON.stringify({ stateDirectory, domains, ...configuration }));
    return new ManagedProcess({
      name: "agent",
      logFile: join(this.directory, `${stateName}.log`),
      argv: mainArgv("agent", [
        ...["--config", config, "--node-name", nodeName, "--lock-directory", join(this.directory, "locks")],
        ...["--server", this.plane.server, "--ca-file", this.plane.caFile],
        ...["--token-file", join(this.directory, "agent.token")],
      ]),
    });
  }

  /** Creates a Content as the operator would. */
  async createContent(domainName: string, spec: Partial<ContentSpec> = {}): Promise<string> {
    this.#contents += 1;
    const uid = `00000000-0000-4000-8000-${String(this.#contents).padStart(12, "0")}`;
    const name = `dsnap-${uid}`;
    await this.view.contents.client.create({
      metadata: { name },
      spec: {
        snapshotRef: { namespace, name: `snap-${this.#contents}`, uid },
        nodeName,
        domain: { namespace, name: domainName, uuid: guestUuid },
        capture: "paused",
        memory: { snapshot: "external" },
        disks: [
          { name: "vda", snapshot: "manual" },
          { name: "vdb", snapshot: "external", format: "qcow2" },
          { name: "sda", snapshot: "none" },
        ],
        quiesce: "Never",
        hold: { timeoutSeconds: 600, onTimeout: "Resume" },
        desired: "Held",
        deletionPolicy: "Retain",
        ...spec,
      },
    });
    return name;
  }

  async setDesired(name: string, desired: ContentSpec["desired"]): Promise<void> {
    await this.view.contents.client.mergePatch(name, undefined, { spec: { desired } });
  }

  async awaitDomain(name: string, what: string, predicate: (domain: Domain) => boolean): Promise<Domain> {
    const key = `${namespace}/${name}`;
    return await awaitObject({ store: this.view.domains.store, key, what, predicate, timeoutMilliseconds });
  }

  async awaitContent(
    name: string,
    what: string,
    predicate: (content: DomainSnapshotContent) => boolean,
  ): Promise<DomainSnapshotContent> {
    return await awaitObject({ store: this.view.contents.store, key: name, what, predicate, timeoutMilliseconds });
  }

  /** Resolves with the Content once it has ended. */
  async ended(name: string): Promise<DomainSnapshotContent> {
    return await this.awaitContent(
      name,
      "ended",
      ({ status }) => status?.phase === "Completed" || status?.phase === "Failed",
    );
  }

  /** What the agent wrote to an object, from the API server's audit log. */
  async agentWrites(resource: string, name: string): Promise<AuditEvent[]> {
    const events = await acceptedWrites(this.plane.auditLogPath);
    return events.filter(
      ({ user, objectRef }) =>
        user.username.endsWith(":domain-snapshot-agent") && objectRef.resource === resource && objectRef.name === name,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
    await this.#client.close();
    await this.plane.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}
