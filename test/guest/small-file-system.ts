// A file system of a few MiB, to be full: a tmpfs, which only root can mount.

import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { shell } from "./shell.ts";

export class SmallFileSystem implements Disposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Mounts it on a new directory in `parent`; gives the reason if that is refused. */
  static mount(parent: string, mebibytes: number): SmallFileSystem | string {
    const path = mkdtempSync(join(parent, "small-"));
    try {
      shell("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0700`, "tmpfs", path]);
      return new SmallFileSystem(path);
    } catch (error) {
      rmSync(path, { recursive: true });
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Takes all room but `leave` bytes. */
  fill(options: { leave: number }): void {
    const { bavail, bsize } = statfsSync(this.path);
    shell("fallocate", ["--length", String(bavail * bsize - options.leave), join(this.path, "ballast")]);
  }

  empty(): void {
    rmSync(join(this.path, "ballast"));
  }

  [Symbol.dispose](): void {
    // Lazily: a QEMU that still writes must not leave the mount behind.
    shell("umount", ["--lazy", this.path]);
    rmSync(this.path, { recursive: true });
  }
}
