// The two QEMUs that are supported: 7.2 as Debian 12 installs it, 10.0 from its backports unpacked beside it.

import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../control-plane/assets.ts";
import { ensurePackages, unpackPackages } from "./debian.ts";

export type QemuVersion = "7.2" | "10.0";

export const qemuVersions: readonly QemuVersion[] = ["7.2", "10.0"];

/** Programs of one QEMU and what they need to run. */
export interface Qemu {
  readonly version: QemuVersion;
  readonly system: string;
  readonly img: string;
  readonly storageDaemon: string;
  readonly env: Readonly<Record<string, string>>;
  /** Arguments that every run of `system` needs. */
  readonly args: readonly string[];
  /** A versioned machine type, so that a restore gets the same devices. */
  readonly machine: string;
}

export function ensureQemu(version: QemuVersion, progress: (line: string) => void = () => undefined): Qemu {
  ensurePackages(["qemu-system-x86", "qemu-utils"], progress);
  if (version === "7.2") {
    return {
      version,
      system: "/usr/bin/qemu-system-x86_64",
      img: "/usr/bin/qemu-img",
      storageDaemon: "/usr/bin/qemu-storage-daemon",
      env: {},
      args: [],
      machine: "pc-q35-7.2",
    };
  }
  const root = join(cacheDirectory(), "qemu-10.0");
  if (!existsSync(root)) {
    const partial = `${root}.${process.pid}`;
    rmSync(partial, { recursive: true, force: true });
    const packages = ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "qemu-utils"];
    unpackPackages({ packages, directory: partial, backports: true, progress });
    renameSync(partial, root);
  }
  const lib = join(root, "usr/lib/x86_64-linux-gnu");
  return {
    version,
    system: join(root, "usr/bin/qemu-system-x86_64"),
    img: join(root, "usr/bin/qemu-img"),
    storageDaemon: join(root, "usr/bin/qemu-storage-daemon"),
    env: { LD_LIBRARY_PATH: lib, QEMU_MODULE_DIR: join(lib, "qemu") },
    args: ["-L", join(root, "usr/share/qemu"), "-L", "/usr/share/seabios", "-L", "/usr/share/qemu"],
    machine: "pc-q35-10.0",
  };
}
