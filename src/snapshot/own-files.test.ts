import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type OwnFile, OwnFiles } from "./own-files.ts";

async function setUp(): Promise<{ directory: string; path: string; noted: OwnFile[]; files: OwnFiles }> {
  const directory = await mkdtemp(join(tmpdir(), "dsnap-own-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const noted: OwnFile[] = [];
  const files = new OwnFiles({
    tag: "0a1b2c3d",
    note: async (file) => {
      noted.push(file);
    },
  });
  return { directory, path: join(directory, "vda.snap"), noted, files };
}

describe("files of a snapshot's own making", () => {
  test("grow under a hidden name and get their own by a link", async () => {
    const { directory, path, noted, files } = await setUp();
    await files.create("overlay", path);
    expect(await readdir(directory)).toEqual([".vda.snap.0a1b2c3d.partial"]);
    expect(noted).toMatchObject([{ kind: "overlay", path }]);
    await files.publish(path);
    expect(await readdir(directory)).toEqual(["vda.snap"]);
    expect(await files.owns(path)).toBe(true);
  });

  test("never replace a file that has come into being meanwhile", async () => {
    const { directory, path, files } = await setUp();
    await files.create("overlay", path);
    await writeFile(path, "somebody else's");
    await expect(files.publish(path)).rejects.toMatchObject({ reason: "FileExists" });
    await files.remove(path);
    expect(await readdir(directory)).toEqual(["vda.snap"]);
    expect(await readFile(path, "utf8")).toBe("somebody else's");
  });

  test("are known again from a journal, and removed once", async () => {
    const { directory, path, noted, files } = await setUp();
    await files.create("memory", path);
    await files.publish(path);
    const later = new OwnFiles({ tag: "0a1b2c3d", note: async () => {} });
    for (const file of noted) later.recall(file);
    expect(later.paths("memory")).toEqual([path]);
    await later.publish(path);
    await later.remove(path);
    await later.remove(path);
    expect(await readdir(directory)).toEqual([]);
  });

  test("leave nothing behind when the journal cannot be written", async () => {
    const { directory, path } = await setUp();
    const files = new OwnFiles({
      tag: "0a1b2c3d",
      note: () => Promise.reject(Object.assign(new Error("no space left"), { code: "ENOSPC" })),
    });
    await expect(files.create("overlay", path)).rejects.toMatchObject({ reason: "NoSpace" });
    expect(await readdir(directory)).toEqual([]);
  });
});
