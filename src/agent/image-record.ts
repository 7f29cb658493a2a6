// Which disks were moved to a new image with nobody told: whoever starts the guest from the old one loses data.

import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";

const recordFile = z.strictObject({
  /** The QEMU that was moved, as {@link socketInstance} tells it. */
  instance: z.string(),
  /** Disk name to its new top image. */
  images: z.record(z.string(), z.string()),
});

export type ImageRecord = z.output<typeof recordFile>;

/** What the record says of a guest now. */
export type ImageVerdict =
  /** Nothing is open: forget the record. */
  | { readonly is: "settled" }
  /** The guest runs on images that nothing outside of it knows. */
  | { readonly is: "unannounced"; readonly images: ReadonlyMap<string, string> }
  /** The guest was started again, from other images than it was last moved to. */
  | { readonly is: "stale"; readonly images: ReadonlyMap<string, string> };

/**
 * Judges the record by what the guest has open. In the same QEMU, a disk that is no longer on its recorded image was put
 * back or moved on by us; in another QEMU, it was started from the wrong one.
 */
export function judgeImages(
  record: ImageRecord,
  now: { instance: string; images: ReadonlyMap<string, string> },
): ImageVerdict {
  const restarted = record.instance !== now.instance;
  const open = new Map<string, string>();
  for (const [disk, path] of Object.entries(record.images)) {
    const onIt = now.images.get(disk) === path;
    if (restarted !== onIt) open.set(disk, path);
  }
  if (open.size === 0) return { is: "settled" };
  return { is: restarted ? "stale" : "unannounced", images: open };
}

/** A QEMU creates its monitor socket anew when it starts: the file's identity is the process's. */
export async function socketInstance(path: string): Promise<string> {
  const { dev, ino, birthtimeMs } = await stat(path);
  return `${dev}:${ino}:${Math.floor(birthtimeMs)}`;
}

/** The record of one domain, a small file in the state directory. */
export class ImageRecordFile {
  readonly #path: string;

  constructor(options: { stateDirectory: string; namespace: string; name: string }) {
    this.#path = join(options.stateDirectory, "images", `${options.namespace}_${options.name}.json`);
  }

  async read(): Promise<ImageRecord | undefined> {
    const text = await readFile(this.#path, "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    try {
      return recordFile.parse(JSON.parse(text));
    } catch {
      return undefined;
    }
  }

  async write(record: ImageRecord): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const temporary = `${this.#path}.new`;
    {
      await using file = await open(temporary, "w", 0o600);
      await file.writeFile(JSON.stringify(record));
      await file.sync();
    }
    await rename(temporary, this.#path);
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}
