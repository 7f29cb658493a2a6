// A real API server with the shipped RBAC, the operator running under its own ServiceAccount, and a puppet for an agent.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Domain } from "../../src/api/v1alpha1/domain.ts";
import type { DomainSnapshot, DomainSnapshotSpec } from "../../src/api/v1alpha1/domain-snapshot.ts";
import type { ContentStatus, DomainSnapshotContent } from "../../src/api/v1alpha1/domain-snapshot-content.ts";
import { apiVersion } from "../../src/api/v1alpha1/group.ts";
import { EventRecorder } from "../../src/kube/event-recorder.ts";
import { tokenConfig } from "../../src/kube/in-cluster-config.ts";
import { KubeClient } from "../../src/kube/kube-client.ts";
import type { KubeObject } from "../../src/kube/kube-object.ts";
import { NodeLease } from "../../src/kube/node-lease.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import type { Store } from "../../src/kube/store.ts";
import { type ClusterView, createClusterView } from "../../src/operator/cluster-view.ts";
import { agentLeaseName, contentName, defaultNamespace } from "../../src/operator/names.ts";
import { Operator } from "../../src/operator/operator.ts";
import { systemClock as clock, microTime } from "../../src/runtime/clock.ts";
import { createLogger, type Logger } from "../../src/runtime/log.ts";
import { type AuditEvent, acceptedWrites, snapshotWrites } from "../control-plane/api-writes.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";
import { awaitObject } from "../stack/await-object.ts";
import { checkoutPath } from "../stack/node-arguments.ts";

const timeoutMilliseconds = 20_000;
const random = Math.random;
export const namespace = "shop";
export const node = "node-1";
export const domainUuid = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

export class OperatorFixture implements AsyncDisposable {
  readonly plane: ControlPlane;
  /** As admin: what kubectl would see. */
  readonly admin: ClusterView;
  /** As the agent, with nothing but the agent's RBAC. */
  readonly agent: ClusterView;
  readonly #operatorClient: KubeClient;
  readonly #agentClient: KubeClient;
  readonly #clients: KubeClient[];
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #watching: Promise<unknown>;
  #operator: { stop: AbortController; ended: Promise<unknown> } | undefined;

  constructor(options: {
    plane: ControlPlane;
    admin: KubeClient;
    agent: KubeClient;
    operator: KubeClient;
    log: Logger;
  }) {
    this.plane = options.plane;
    this.#log = options.log;
    this.#operatorClient = options.operator;
    this.#agentClient = options.agent;
    this.#clients = [options.admin, options.agent, options.operator];
    this.admin = createClusterView(options.admin);
    this.agent = createClusterView(options.agent);
    const { signal } = this.#stop;
    const { snapshots, contents, domains } = this.admin;
    this.#watching = Promise.all([
      new Reflector({ ...snapshots, clock, random, log: options.log }).run(signal),
      new Reflector({ ...contents, clock, random, log: options.log }).run(signal),
      new Reflector({ ...domains, clock, random, log: options.log }).run(signal),
    ]);
  }

  static async start(): Promise<OperatorFixture> {
    const plane = await startControlPlane();
    try {
      return await OperatorFixture.#startOn(plane);
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  static async #startOn(plane: ControlPlane): Promise<OperatorFixture> {
    const log = createLogger({ level: process.env["TEST_LOG_LEVEL"] ?? "fatal" });
    await plane.installCrds();
    for (const file of ["namespace", "service-accounts", "rbac-operator", "rbac-agent"]) {
      await plane.apply(await readFile(checkoutPath(`deploy/${file}.yaml`), "utf8"));
    }
    await plane.kubectl(["create", "namespace", namespace]);
    const client = async (name: string, token: string) => {
      const tokenFile = join(plane.dir, `${name}.token`);
      await writeFile(tokenFile, token, { mode: 0o600 });
      const config = tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile });
      return new KubeClient({ config, log, clock, userAgent: name });
    };
    const account = (name: string) => plane.tokenFor({ namespace: defaultNamespace, name });
    const fixture = new OperatorFixture({
      plane,
      log,
      admin: await client("admin", plane.adminToken),
      agent: await client("agent", await account("domain-snapshot-agent")),
      operator: await client("operator", await account("domain-snapshot-operator")),
    });
    await fixture.admin.snapshots.store.synced;
    return fixture;
  }

  /** Starts the operator in this process, as its main would. */
  startOperator(options: { agentGraceMilliseconds?: number } = {}): void {
    const stop = new AbortController();
    const recorder = new EventRecorder({
      client: this.#operatorClient,
      component: "domainsnapshot.io/operator",
      instance: "test",
      clock,
    });
    const operator = new Operator({
      api: this.#operatorClient,
      namespace: defaultNamespace,
      recorder,
      clock,
      random,
      log: this.#log,
      ...options,
    });
    const ended = Promise.all([operator.follow(stop.signal), operator.lead(stop.signal)]).then(() => recorder.flush());
    this.#operator = { stop, ended };
  }

  async stopOperator(): Promise<void> {
    this.#operator?.stop.abort();
    await this.#operator?.ended;
    this.#operator = undefined;
  }

  /** Publishes a running Domain with a disk of each kind, as the agent would. */
  async publishDomain(name: string, nodeName = node): Promise<void> {
    const options = { fieldManager: "domain-snapshot-agent", force: true };
    await this.agent.domains.client.apply(
      { metadata: { name, namespace }, spec: { nodeName, uuid: domainUuid } },
      options,
    );
    const disks = [
      { name: "vda", readOnly: false, empty: false, sourceType: "Block", defaultSnapshot: "manual" },
      { name: "vdb", readOnly: false, empty: false, sourceType: "File", format: "qcow2" },
      { name: "sda", readOnly: true, empty: true },
    ];
    const status = { state: "Running", memoryBytes: 1 << 28, captureModes: ["paused", "live"], disks };
    await this.agent.domains.client.applyStatus({ metadata: { name, namespace }, status }, options);
  }

  async renewLease(nodeName = node, leaseDurationSeconds = 40): Promise<void> {
    const spec = { holderIdentity: nodeName, leaseDurationSeconds, renewTime: microTime(clock.now()) };
    const draft = { metadata: { name: agentLeaseName(nodeName), namespace: defaultNamespace }, spec };
    await this.agent.leases.client.apply(draft, { fieldManager: "node-lease", force: true });
  }

  /** Renews as an agent does, but with a short Lease, until the returned function is called: the agent died. */
  keepLease(nodeName: string): () => Promise<void> {
    const stop = new AbortController();
    const lease = new NodeLease({
      client: this.#agentClient,
      namespace: defaultNamespace,
      name: agentLeaseName(nodeName),
      identity: nodeName,
      clock,
      random,
      log: this.#log,
      renewPeriodMilliseconds: 500,
      leaseDurationSeconds: 2,
    });
    const ended = lease.run(stop.signal);
    return async () => {
      stop.abort();
      await ended;
    };
  }

  /** Creates a DomainSnapshot as a user would. */
  async request(name: string, domain: string, spec: Partial<DomainSnapshotSpec> = {}): Promise<DomainSnapshot> {
    return await this.admin.snapshots.client.create({
      apiVersion,
      kind: "DomainSnapshot",
      metadata: { name, namespace },
      spec: { domainRef: { name: domain }, memory: { snapshot: "external" }, ...spec },
    });
  }

  async patch(name: string, spec: object): Promise<DomainSnapshot> {
    return await this.admin.snapshots.client.mergePatch(name, namespace, { spec }, { fieldManager: "storage-hook" });
  }

  async snapshot(
    name: string,
    what: string,
    predicate: (snapshot: DomainSnapshot) => boolean,
  ): Promise<DomainSnapshot> {
    const { store } = this.admin.snapshots;
    return await awaitObject({ store, key: `${namespace}/${name}`, what, predicate, timeoutMilliseconds });
  }

  async domain(name: string, what: string, predicate: (domain: Domain) => boolean): Promise<Domain> {
    const { store } = this.admin.domains;
    return await awaitObject({ store, key: `${namespace}/${name}`, what, predicate, timeoutMilliseconds });
  }

  async phase(name: string, phase: string): Promise<DomainSnapshot> {
    return await this.snapshot(name, phase, (snapshot) => snapshot.status?.phase === phase);
  }

  async content(
    snapshot: DomainSnapshot,
    what = "there",
    predicate: (content: DomainSnapshotContent) => boolean = () => true,
  ): Promise<DomainSnapshotContent> {
    const key = contentName(snapshot.metadata.uid ?? "");
    return await awaitObject({ store: this.admin.contents.store, key, what, predicate, timeoutMilliseconds });
  }

  /** Resolves when the object is gone from the API server. */
  async gone(kind: "snapshots" | "contents", key: string): Promise<void> {
    if (kind === "snapshots") await untilGone(this.admin.snapshots.store, key);
    else await untilGone(this.admin.contents.store, key);
  }

  /** What the agent would report. Times are those of now unless given. */
  async report(content: DomainSnapshotContent, status: ContentStatus): Promise<void> {
    const { name } = content.metadata;
    await this.agent.contents.client.applyStatus(
      { metadata: { name }, status },
      { fieldManager: "domain-snapshot-agent", force: true },
    );
  }

  /** Accepted writes of operator and agent on this snapshot and its Content. */
  async writesOf(snapshot: DomainSnapshot): Promise<AuditEvent[]> {
    const names = [snapshot.metadata.name, contentName(snapshot.metadata.uid ?? "")];
    return snapshotWrites(await acceptedWrites(this.plane.auditLogPath)).filter(({ objectRef }) =>
      names.includes(objectRef.name ?? names[1] ?? ""),
    );
  }

  async eventReasons(name: string): Promise<string[]> {
    const selector = `regarding.name=${name}`;
    const raw = await this.plane.kubectl([
      "get",
      "events.events.k8s.io",
      "-n",
      namespace,
      "--field-selector",
      selector,
      "-o",
      "jsonpath={.items[*].reason}",
    ]);
    return raw.split(" ").filter((reason) => reason !== "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopOperator();
    this.#stop.abort();
    await this.#watching;
    for (const client of this.#clients) await client.close();
    await this.plane.stop();
  }
}

/** Now, as a MicroTime. */
export const time = (): string => microTime(clock.now());

async function untilGone<T extends KubeObject>(store: Store<T>, key: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`${key} is still there`)), timeoutMilliseconds);
  const look = () => {
    if (store.get(key) === undefined) resolve();
  };
  const unsubscribe = store.subscribe(look);
  look();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    unsubscribe();
  }
}
