// Finds or builds the control plane's binaries: KUBEBUILDER_ASSETS, then the cache, then `go build`.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const moduleDirectory = fileURLToPath(new URL(".", import.meta.url));
const kubernetesVersion = "v1.36.3";

/** The binaries and the Go packages they are built from, in the order in which they are built. */
const packages = {
  etcd: "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
} as const;

export type AssetName = keyof typeof packages;

/** Where everything that is built or downloaded once is kept. */
export function cacheDirectory(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "domain-snapshot-operator");
}

/** Absolute path of every binary; builds what is missing and says so through `progress`. */
export async function ensureControlPlaneAssets(
  progress: (line: string) => void = () => undefined,
): Promise<Readonly<Record<AssetName, string>>> {
  const given = process.env["KUBEBUILDER_ASSETS"];
  const directory = await buildDirectory();
  const found: Partial<Record<AssetName, string>> = {};
  for (const name of Object.keys(packages) as AssetName[]) {
    const givenPath = given === undefined ? undefined : join(given, name);
    if (givenPath !== undefined && (await exists(givenPath))) found[name] = givenPath;
    else found[name] = await ensureBuilt(name, directory, progress);
  }
  return found as Record<AssetName, string>;
}

/** The cache is keyed by what decides the build: go.mod and go.sum. */
async function buildDirectory(): Promise<string> {
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum"]) hash.update(await readFile(join(moduleDirectory, file)));
  const directory = join(cacheDirectory(), "control-plane", hash.digest("hex").slice(0, 16));
  await mkdir(directory, { recursive: true });
  return directory;
}

async function ensureBuilt(name: AssetName, directory: string, progress: (line: string) => void): Promise<string> {
  const path = join(directory, name);
  if (await exists(path)) return path;
  requireGo();
  progress(`building ${name} with go (minutes, once; kept in ${directory})`);
  const version = "-X k8s.io/component-base/version";
  const flags = `-s -w ${version}.gitVersion=${kubernetesVersion} ${version}.gitMajor=1 ${version}.gitMinor=36`;
  const partial = `${path}.${process.pid}`;
  await run("go", ["build", "-trimpath", `-ldflags=${flags}`, "-o", partial, packages[name]]);
  await rename(partial, path);
  return path;
}

function requireGo(): void {
  const probe = spawnSync("go", ["version"], { encoding: "utf8" });
  const match = /go(\d+)\.(\d+)/.exec(probe.stdout ?? "");
  const minor = match === null ? 0 : Number(match[1]) * 1000 + Number(match[2]);
  if (minor >= 1026) return;
  throw new Error(
    "the tests need kube-apiserver, etcd and kubectl: install Go 1.26 or newer so that they can be built, " +
      "or set KUBEBUILDER_ASSETS to a directory that holds them",
  );
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, {
    cwd: moduleDirectory,
    env: { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "-buildvcs=false -mod=readonly" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
