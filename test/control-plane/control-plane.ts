// A real etcd and kube-apiserver on loopback, with real ServiceAccount tokens, RBAC and an audit log.

import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ManagedProcess } from "../stack/managed-process.ts";
import { checkoutPath } from "../stack/node-arguments.ts";
import { type AssetName, ensureControlPlaneAssets } from "./assets.ts";

export interface ServiceAccountRef {
  readonly namespace: string;
  readonly name: string;
}

/** A running control plane. Everything it owns lies under `dir` and goes with `stop`. */
export class ControlPlane implements AsyncDisposable {
  readonly dir: string;
  readonly server: string;
  readonly caFile: string;
  readonly adminToken: string;
  readonly adminKubeconfigPath: string;
  readonly auditLogPath: string;
  readonly assets: Readonly<Record<AssetName, string>>;
  readonly #etcd: ManagedProcess;
  readonly #apiServerArgv: readonly string[];
  #apiServer: ManagedProcess;

  constructor(options: {
    dir: string;
    server: string;
    adminToken: string;
    assets: Readonly<Record<AssetName, string>>;
    etcd: ManagedProcess;
    apiServerArgv: readonly string[];
    apiServer: ManagedProcess;
  }) {
    this.dir = options.dir;
    this.server = options.server;
    this.caFile = join(options.dir, "certs", "apiserver.crt");
    this.adminToken = options.adminToken;
    this.adminKubeconfigPath = join(options.dir, "admin.kubeconfig");
    this.auditLogPath = join(options.dir, "audit.log");
    this.assets = options.assets;
    this.#etcd = options.etcd;
    this.#apiServerArgv = options.apiServerArgv;
    this.#apiServer = options.apiServer;
  }

  get apiServer(): ManagedProcess {
    return this.#apiServer;
  }

  /** Process ids, for whoever keeps the control plane running and ends it later. */
  get pids(): readonly number[] {
    return [this.#apiServer.pid, this.#etcd.pid];
  }

  /** Runs kubectl as admin (or with `kubeconfig`); rejects with its stderr. */
  async kubectl(args: readonly string[], options: { stdin?: string; kubeconfig?: string } = {}): Promise<string> {
    const kubeconfig = options.kubeconfig ?? this.adminKubeconfigPath;
    const child = spawn(this.assets.kubectl, [
      "--kubeconfig",
      kubeconfig,
      "--cache-dir",
      join(this.dir, "kubectl"),
      ...args,
    ]);
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      out += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      err += chunk;
    });
    child.stdin.end(options.stdin ?? "");
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${err.trim()}`);
    return out;
  }

  /** Applies a manifest given as text. */
  async apply(manifest: string): Promise<void> {
    await this.kubectl(["apply", "--server-side", "-f", "-"], { stdin: manifest });
  }

  /** Installs the project's CRDs and waits until they are served. */
  async installCrds(): Promise<void> {
    await this.kubectl(["apply", "--server-side", "-f", checkoutPath("crds")]);
    await this.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "-f", checkoutPath("crds")]);
  }

  /** A token of a ServiceAccount by TokenRequest; `node` binds it to that Node object. */
  async tokenFor(account: ServiceAccountRef, options: { node?: string } = {}): Promise<string> {
    const bound =
      options.node === undefined ? [] : ["--bound-object-kind", "Node", "--bound-object-name", options.node];
    const args = ["create", "token", account.name, "-n", account.namespace, "--duration", "8h", ...bound];
    return (await this.kubectl(args)).trim();
  }

  /** Writes a kubeconfig that uses `token`; returns its path. */
  async kubeconfigFor(name: string, token: string): Promise<string> {
    const path = join(this.dir, `${name}.kubeconfig`);
    const ca = (await readFile(this.caFile)).toString("base64");
    await writeFile(path, kubeconfigText({ server: this.server, ca, token }), { mode: 0o600 });
    return path;
  }

  /** Ends the API server; etcd keeps what it held. */
  async stopApiServer(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#apiServer.stop(signal);
  }

  /** Starts the API server again on the same port and waits until it is ready. */
  async startApiServer(): Promise<void> {
    this.#apiServer = apiServerProcess(this.dir, this.#apiServerArgv);
    await waitReady(this.server, this.adminToken, this.#apiServer);
  }

  async restartApiServer(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.stopApiServer(signal);
    await this.startApiServer();
  }

  /** Lets the processes outlive this one. */
  release(): void {
    this.#apiServer.release();
    this.#etcd.release();
  }

  async stop(): Promise<void> {
    await this.#apiServer.stop();
    await this.#etcd.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Starts etcd and kube-apiserver and waits for /readyz. */
export async function startControlPlane(options: { progress?: (line: string) => void } = {}): Promise<ControlPlane> {
  const assets = await ensureControlPlaneAssets(options.progress);
  const dir = await mkdtemp(join(tmpdir(), "dsnap-control-plane-"));
  let lastError: unknown;
  // A port that was free a moment ago may be taken by a test beside us: then everything starts anew.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      return await startOnce(dir, assets);
    } catch (error) {
      lastError = error;
    }
  }
  await rm(dir, { recursive: true, force: true });
  throw lastError;
}

async function startOnce(dir: string, assets: Readonly<Record<AssetName, string>>): Promise<ControlPlane> {
  const [etcdPort, peerPort, apiPort] = await freePorts(3);
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const etcd = new ManagedProcess({
    name: "etcd",
    logFile: join(dir, "etcd.log"),
    argv: [
      assets.etcd,
      ...["--data-dir", join(dir, `etcd-${etcdPort}`), "--unsafe-no-fsync", "--log-level", "error"],
      ...["--listen-client-urls", etcdUrl, "--advertise-client-urls", etcdUrl],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", `default=${peerUrl}`],
    ],
  });
  const adminToken = randomBytes(24).toString("hex");
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(join(dir, "sa.key"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await writeFile(join(dir, "sa.pub"), publicKey.export({ type: "spki", format: "pem" }));
  await writeFile(join(dir, "tokens.csv"), `${adminToken},admin,admin,"system:masters"\n`, { mode: 0o600 });
  await writeFile(join(dir, "audit-policy.yaml"), auditPolicy);
  const apiServerArgv = [
    assets["kube-apiserver"],
    `--etcd-servers=${etcdUrl}`,
    `--secure-port=${apiPort}`,
    "--bind-address=127.0.0.1",
    `--cert-dir=${join(dir, "certs")}`,
    `--service-account-key-file=${join(dir, "sa.pub")}`,
    `--service-account-signing-key-file=${join(dir, "sa.key")}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--token-auth-file=${join(dir, "tokens.csv")}`,
    "--authorization-mode=Node,RBAC",
    "--service-cluster-ip-range=10.0.0.0/24",
    "--disable-admission-plugins=ServiceAccount",
    `--audit-policy-file=${join(dir, "audit-policy.yaml")}`,
    `--audit-log-path=${join(dir, "audit.log")}`,
    "--audit-log-mode=blocking",
  ];
  const apiServer = apiServerProcess(dir, apiServerArgv);
  const server = `https://127.0.0.1:${apiPort}`;
  try {
    await waitReady(server, adminToken, apiServer);
    const plane = new ControlPlane({ dir, server, adminToken, assets, etcd, apiServerArgv, apiServer });
    const ca = (await readFile(plane.caFile)).toString("base64");
    await writeFile(plane.adminKubeconfigPath, kubeconfigText({ server, ca, token: adminToken }), { mode: 0o600 });
    return plane;
  } catch (error) {
    await apiServer.stop("SIGKILL");
    await etcd.stop("SIGKILL");
    throw error;
  }
}

function apiServerProcess(dir: string, argv: readonly string[]): ManagedProcess {
  return new ManagedProcess({ name: "kube-apiserver", argv, logFile: join(dir, "kube-apiserver.log") });
}

async function waitReady(server: string, token: string, process: ManagedProcess): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    if (!process.running) throw new Error(`kube-apiserver ended at its start: ${process.log.slice(-2000)}`);
    if ((await statusOf(`${server}/readyz`, token)) === 200) return;
    await delay(100);
  }
  throw new Error(`kube-apiserver was not ready within 60 s: ${process.log.slice(-2000)}`);
}

/** Readiness is asked before the server's certificate is known, hence without checking it. */
async function statusOf(url: string, token: string): Promise<number> {
  return await new Promise((resolve) => {
    const call = request(
      url,
      { rejectUnauthorized: false, headers: { Authorization: `Bearer ${token}` } },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    call.once("error", () => resolve(0));
    call.end();
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  return await Promise.all(
    servers.map(async (server) => {
      const address = server.address();
      await new Promise((resolve) => server.close(resolve));
      if (address === null || typeof address === "string") throw new Error("no port");
      return address.port;
    }),
  );
}

function kubeconfigText(options: { server: string; ca: string; token: string }): string {
  return `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "${options.server}", certificate-authority-data: ${options.ca}}}]
users: [{name: u, user: {token: ${options.token}}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
`;
}

/** Writes are logged with who and what, reads are not: the tests count writes. */
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources: [{group: domainsnapshot.io}]
- level: None
`;
