import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newFilePath, overlayPath, requireSpace, shownPath } from "./paths.ts";

let root: string;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "dsnap-paths-")));
  await mkdir(join(root, "allowed", "deep"), { recursive: true });
  await mkdir(join(root, "elsewhere"));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function path(file: string): Promise<string> {
  const allowed = join(root, "allowed");
  return await newFilePath({ field: "memory.file", file, from: allowed, roots: [allowed] });
}

describe("newFilePath", () => {
  it("takes a relative name from the snapshot directory and an absolute one inside it", async () => {
    expect(await path("a.mem")).toBe(join(root, "allowed", "a.mem"));
    expect(await path(join(root, "allowed", "deep", "a.mem"))).toBe(join(root, "allowed", "deep", "a.mem"));
  });

  it.each(["../a.mem", "deep/../../a.mem", "deep/", "/etc/a.mem"])("refuses %s", async (file) => {
    await expect(path(file)).rejects.toMatchObject({ reason: "PathNotAllowed" });
  });

  it("refuses a directory that merely begins like an allowed one", async () => {
    await mkdir(join(root, "allowed-not"));
    await expect(path(join(root, "allowed-not", "a.mem"))).rejects.toMatchObject({ reason: "PathNotAllowed" });
  });

  it("refuses to go through a symbolic link below an allowed directory", async () => {
    await symlink(join(root, "elsewhere"), join(root, "allowed", "link"));
    await expect(path("link/a.mem")).rejects.toMatchObject({ reason: "PathNotAllowed" });
  });

  it("refuses a directory that does not exist", async () => {
    await expect(path("missing/a.mem")).rejects.toMatchObject({ reason: "PathNotAllowed" });
  });

  it("checklist 10: refuses what exists, a dangling symbolic link included", async () => {
    await writeFile(join(root, "allowed", "a.mem"), "");
    await symlink("nowhere", join(root, "allowed", "b.mem"));
    await expect(path("a.mem")).rejects.toMatchObject({ reason: "FileExists" });
    await expect(path("b.mem")).rejects.toMatchObject({ reason: "FileExists" });
  });
});

describe("overlayPath", () => {
  it.each([
    ["/images/vdb.qcow2", "/images/vdb.s1"],
    ["/images/a.b.c", "/images/a.b.s1"],
    ["/images.d/disk", "/images.d/disk.s1"],
    ["/images/.hidden", "/images/.hidden.s1"],
  ])("checklist 20: %s becomes %s", (base, overlay) => {
    expect(overlayPath(base, "s1")).toBe(overlay);
  });
});

describe("requireSpace", () => {
  it("refuses what cannot fit", async () => {
    await expect(requireSpace(root, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ reason: "NoSpace" });
  });
});

describe("shownPath", () => {
  it("is relative only inside the snapshot directory", () => {
    expect(shownPath("/snap/a/b", "/snap")).toBe("a/b");
    expect(shownPath("/images/b", "/snap")).toBe("/images/b");
  });
});
