// What the guests need from Debian: packages to install, and packages to unpack beside the system.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shell } from "./shell.ts";

const apt = { DEBIAN_FRONTEND: "noninteractive" };
let listsAreFresh = false;

/** Installs what is missing; only root can, others are told what to install. */
export function ensurePackages(packages: readonly string[], progress: (line: string) => void): void {
  const missing = packages.filter((name) => !installed(name));
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error(`install these Debian packages first: ${missing.join(" ")}`);
  progress(`installing ${missing.join(" ")}`);
  updateLists();
  shell("apt-get", [...patience, "install", "-y", "--no-install-recommends", ...missing], { env: apt });
}

/** Downloads packages (with their newest version in `suite`, if given) and unpacks them into `directory`. */
export function unpackPackages(options: {
  packages: readonly string[];
  directory: string;
  backports?: boolean;
  progress: (line: string) => void;
}): void {
  const { packages, directory } = options;
  options.progress(`unpacking ${packages.join(" ")}`);
  const downloads = `${directory}.debs`;
  rmSync(downloads, { recursive: true, force: true });
  mkdirSync(downloads, { recursive: true });
  const source = options.backports === true ? backportsSource(downloads) : [];
  if (source.length > 0) shell("apt-get", [...patience, ...source, "update", "-qq"], { env: apt });
  else updateLists();
  shell("apt-get", [...source, "download", ...packages], { cwd: downloads, env: apt });
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(downloads)) {
    if (name.endsWith(".deb")) shell("dpkg-deb", ["-x", join(downloads, name), directory]);
  }
  rmSync(downloads, { recursive: true, force: true });
}

/** The package that a metapackage depends on, by the start of its name. */
export function dependencyOf(metapackage: string, prefix: string): string {
  updateLists();
  const names = shell("apt-cache", ["depends", metapackage]).matchAll(/^\s*Depends:\s*(\S+)/gm);
  const name = [...names].map((match) => match[1]).find((candidate) => candidate?.startsWith(prefix));
  if (name === undefined) throw new Error(`${metapackage} depends on no ${prefix}*`);
  return name;
}

/** Another apt may hold the lock for a while. */
const patience = ["-o", "DPkg::Lock::Timeout=300"];

function updateLists(): void {
  if (listsAreFresh || process.getuid?.() !== 0) return;
  shell("apt-get", [...patience, "update", "-qq"], { env: apt });
  listsAreFresh = true;
}

function installed(name: string): boolean {
  try {
    return /^Status: install ok installed$/m.test(shell("dpkg-query", ["-s", name]));
  } catch {
    return false;
  }
}

/** A private apt state with bookworm-backports from the mirror that this machine already uses. */
function backportsSource(directory: string): string[] {
  const targets = shell("apt-get", ["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages"]);
  const mirror = targets
    .split("\n")
    .map((line) => line.split(" "))
    .find(([, release]) => release === "bookworm")?.[0];
  if (mirror === undefined) throw new Error("QEMU 10.0 comes from bookworm-backports: this machine is no Debian 12");
  const list = join(directory, "backports.list");
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  const signed = existsSync(keyring) ? `[signed-by=${keyring}] ` : "";
  writeFileSync(list, `deb ${signed}${mirror} bookworm-backports main\n`);
  const state = join(directory, "apt");
  mkdirSync(join(state, "lists", "partial"), { recursive: true });
  return [
    ...["-o", `Dir::Etc::sourcelist=${list}`, "-o", "Dir::Etc::sourceparts=-"],
    ...[
      "-o",
      `Dir::State::lists=${join(state, "lists")}`,
      "-o",
      `Dir::Cache::pkgcache=`,
      "-o",
      "Dir::Cache::srcpkgcache=",
    ],
    ...["-o", "APT::Sandbox::User=root"],
  ];
}
