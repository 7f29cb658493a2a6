// Length and SHA-256 of a file, however large, in constant memory: a memory file is read while the guest runs beside us.

import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

const bufferBytes = 1 << 20;

export interface FileDigest {
  readonly sizeBytes: number;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

/**
 * Reads the whole file, with one buffer: a stream takes a new one for every chunk, and a process that is seldom collected
 * grows by many of them. Throws what the file system says.
 */
export async function fileDigest(path: string): Promise<FileDigest> {
  await using file = await open(path, "r");
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafeSlow(bufferBytes);
  let sizeBytes = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, bufferBytes, sizeBytes);
    if (bytesRead === 0) return { sizeBytes, sha256: hash.digest("hex") };
    hash.update(buffer.subarray(0, bytesRead));
    sizeBytes += bytesRead;
  }
}
