// Finds or builds the control plane's binaries: KUBEBUILDER_ASSETS, then the cache, then `go build`.

import { createHash } from "node:crypto";
import { access, mkdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { goBuild, requireGo } from "../stack/go-build.ts";

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
  requireGo(name, ", or set KUBEBUILDER_ASSETS to a directory that holds etcd, kube-apiserver and kubectl");
  progress(`building ${name} with go (minutes, once; kept in ${directory})`);
  const version = "-X k8s.io/component-base/version";
  const ldflags = `-s -w ${version}.gitVersion=${kubernetesVersion} ${version}.gitMajor=1 ${version}.gitMinor=36`;
  await goBuild({ directory: moduleDirectory, package: packages[name], output: path, ldflags, progress });
  return path;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
