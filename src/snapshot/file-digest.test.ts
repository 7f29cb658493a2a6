// What the manifest says of the memory file.

import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { fileDigest } from "./file-digest.ts";

const mebibyte = 1 << 20;

async function fileOf(content: Buffer): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "file-digest-"));
  onTestFinished(async () => await rm(directory, { recursive: true }));
  const path = join(directory, "file");
  await writeFile(path, content);
  return path;
}

test.each([
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
])("%j has the length and digest of the standard's examples", async (text, sha256) => {
  expect(await fileDigest(await fileOf(Buffer.from(text)))).toEqual({ sizeBytes: text.length, sha256 });
});

test.each([
  ["one byte less than the buffer", mebibyte - 1],
  ["just the buffer", mebibyte],
  ["one byte more than the buffer", mebibyte + 1],
  ["several buffers and a rest", 3 * mebibyte + 12_345],
])("a file of %s is read to its end, each byte once", async (_what, length) => {
  // No two buffers alike: one that is read twice or left out shows.
  const content = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) content.writeUInt32LE(at, at);
  const sha256 = createHash("sha256").update(content).digest("hex");
  expect(await fileDigest(await fileOf(content))).toEqual({ sizeBytes: length, sha256 });
});

test("a file that is not there is said so", async () => {
  await expect(fileDigest("/does/not/exist")).rejects.toThrow(/ENOENT.*\/does\/not\/exist/);
});
