import { once } from "node:events";
import { link, mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Failure } from "./failure.ts";
import { SocketLock } from "./socket-lock.ts";

async function emptyDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "dsnap-lock-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

const busy = (holder: string) => new Failure("DomainBusy", `held by ${holder}`);

describe("a lock that is a socket", () => {
  test("has one holder, which it names, until that lets go", async () => {
    const directory = await emptyDirectory();
    const path = join(directory, "lock");
    {
      await using _first = await SocketLock.acquire({ path, purpose: "shop/first", busy });
      await expect(SocketLock.acquire({ path, purpose: "shop/second", busy })).rejects.toThrow("held by shop/first");
    }
    await using _second = await SocketLock.acquire({ path, purpose: "shop/second", busy });
    expect(await readdir(directory)).toEqual(["lock"]);
  });

  test("is taken over from a process that died", async () => {
    const directory = await emptyDirectory();
    const dead = createServer().listen(join(directory, "dead"));
    await once(dead, "listening");
    await link(join(directory, "dead"), join(directory, "lock"));
    dead.close();
    await once(dead, "close");
    await using _lock = await SocketLock.acquire({ path: join(directory, "lock"), purpose: "next", busy });
  });

  test("goes to one of several that start at once", async () => {
    const path = join(await emptyDirectory(), "lock");
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => SocketLock.acquire({ path, purpose: `${index}`, busy })),
    );
    const won = tries.filter((outcome) => outcome.status === "fulfilled");
    expect(won).toHaveLength(1);
    await won[0]?.value[Symbol.asyncDispose]();
  });
});

test("is let go although others have looked at it", async () => {
  const path = join(await emptyDirectory(), "lock");
  const lock = await SocketLock.acquire({ path, purpose: "shop/first", busy });
  await expect(SocketLock.acquire({ path, purpose: "next", busy })).rejects.toThrow("shop/first");
  await lock[Symbol.asyncDispose]();
});
