// The guest: a Debian cloud kernel and an initramfs whose init writes and checks counters.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../control-plane/assets.ts";
import { requireGo } from "../stack/go-build.ts";
import { checkoutPath } from "../stack/node-arguments.ts";
import { cpioArchive } from "./cpio.ts";
import { dependencyOf, unpackPackages } from "./debian.ts";
import { shell } from "./shell.ts";

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
}

const modules = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"];

/** Kernel and initramfs, made once and kept; the initramfs is keyed by its own source. */
export function ensureGuestImage(progress: (line: string) => void = () => undefined): GuestImage {
  const root = join(cacheDirectory(), "guest-kernel");
  if (!existsSync(root)) {
    const partial = `${root}.${process.pid}`;
    rmSync(partial, { recursive: true, force: true });
    unpackPackages({
      packages: [dependencyOf("linux-image-cloud-amd64", "linux-image-")],
      directory: partial,
      progress,
    });
    renameSync(partial, root);
  }
  const boot = join(root, "boot");
  const kernel = readdirSync(boot).find((name) => name.startsWith("vmlinuz-"));
  if (kernel === undefined) throw new Error(`no kernel in ${boot}`);
  const source = readFileSync(checkoutPath("test/guest/init/main.go"));
  const key = createHash("sha256").update(source).update(kernel).digest("hex").slice(0, 16);
  const initrd = join(cacheDirectory(), `guest-initrd-${key}.cpio`);
  if (!existsSync(initrd)) {
    requireGo("the guest's init");
    progress("building the guest's initramfs");
    const init = join(cacheDirectory(), `guest-init-${key}.${process.pid}`);
    mkdirSync(cacheDirectory(), { recursive: true });
    shell("go", ["build", "-trimpath", "-ldflags=-s -w", "-o", init, "."], {
      cwd: checkoutPath("test/guest/init"),
      env: { CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "-buildvcs=false" },
    });
    const files = modules.map((name) => ({ name: `${name}.ko`, mode: 0o644, data: moduleFile(root, name) }));
    const archive = cpioArchive([...files, { name: "init", mode: 0o755, data: readFileSync(init) }]);
    rmSync(init);
    writeFileSync(`${initrd}.${process.pid}`, archive);
    renameSync(`${initrd}.${process.pid}`, initrd);
  }
  return { kernel: join(boot, kernel), initrd };
}

function moduleFile(root: string, name: string): Buffer {
  const all = readdirSync(join(root, "lib/modules"), { recursive: true, encoding: "utf8" });
  const path = all.find((entry) => entry.endsWith(`/${name}.ko`));
  if (path === undefined) throw new Error(`the guest's kernel has no module ${name}`);
  return readFileSync(join(root, "lib/modules", path));
}
