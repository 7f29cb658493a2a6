// After the guest runs: memory made durable under its final name, QEMU's settings put back, the manifest written.

import { constants } from "node:fs";
import { link, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { syncDirectory } from "../journal.ts";
import { removeManifest, writeManifest } from "../manifest.ts";
import type { Step } from "../step.ts";
import { partialMemoryFile, restoreSettings } from "./prepare-memory.ts";

export const finish: Step = {
  name: "finish",
  async run(context) {
    if (context.hasMemory) {
      await restoreSettings(context);
      await completeMemory(context);
    }
    const manifest = await writeManifest(context);
    context.update({ manifest: context.shown(manifest) });
  },
  async cleanUp(context) {
    await removeManifest(context);
    const { memoryFile } = context.prepared;
    if (memoryFile !== undefined && context.createdFiles.has(memoryFile)) await unlink(memoryFile);
  },
};

/** fsync, then `link`, which fails if the name has come into being meanwhile (`rename` would replace that file). */
async function completeMemory(context: SnapshotContext): Promise<void> {
  const { memoryFile } = context.prepared;
  if (memoryFile === undefined) return;
  const partial = partialMemoryFile(context);
  try {
    const file = await open(partial, constants.O_RDWR);
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await link(partial, memoryFile);
    context.createdFiles.add(memoryFile);
    await unlink(partial);
    await syncDirectory(dirname(memoryFile));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") {
      throw new Failure("FileExists", `memory.file: ${memoryFile} has come into being meanwhile; it is left alone`);
    }
    throw Failure.from(error, "MemorySaveFailed");
  }
}
