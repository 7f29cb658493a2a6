import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { silentLog } from "../../test/support/silent-log.ts";
import { systemClock } from "../runtime/clock.ts";
import { type DiscoveryConfiguration, parseConfiguration } from "./configuration.ts";
import { discover, matchSocket, scan } from "./discovery.ts";

function discovery(directory: string): DiscoveryConfiguration {
  const text = `discover: [{directory: ${directory}, namespace: batch, pattern: 'vm-{name}.qmp', snapshotDirectory: '/snap/{name}'}]`;
  const [first] = parseConfiguration(text, "agent.yaml").discover;
  if (first === undefined) throw new Error("no discovery");
  return first;
}

async function directoryWith(...sockets: string[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "dsnap-discovery-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const name of sockets) await listen(join(directory, name));
  return directory;
}

async function listen(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
}

describe("discovered guests", () => {
  test("a matching name becomes a Domain with its own socket and directory", () => {
    expect(matchSocket(discovery("/run/qemu"), "vm-web.qmp")).toMatchObject({
      namespace: "batch",
      name: "web",
      socket: "/run/qemu/vm-web.qmp",
      snapshotDirectory: "/snap/web",
      monitor: "dedicated",
    });
  });

  test.each(["web.qmp", "vm-web.sock", "vm-.qmp", "vm-WEB.qmp", "vm-..qmp", "vm-a b.qmp"])(
    "%s is passed over",
    (name) => {
      expect(matchSocket(discovery("/run/qemu"), name)).toBeUndefined();
    },
  );

  test("plain files and symlinks are passed over", async () => {
    const directory = await directoryWith("vm-web.qmp");
    await writeFile(join(directory, "vm-file.qmp"), "");
    await symlink(join(directory, "vm-web.qmp"), join(directory, "vm-link.qmp"));
    expect((await scan(discovery(directory))).map((domain) => domain.name)).toEqual(["web"]);
  });

  test("a guest that appears later is told of once", async () => {
    const directory = await directoryWith("vm-a.qmp");
    const stop = new AbortController();
    const found: string[] = [];
    const second = Promise.withResolvers<void>();
    const scanned = Promise.withResolvers<void>();
    const running = discover({
      discovery: discovery(directory),
      onDomain: ({ name }) => {
        found.push(name);
        if (name === "b") second.resolve();
      },
      onScanned: scanned.resolve,
      clock: systemClock,
      log: silentLog,
      signal: stop.signal,
    });
    await scanned.promise;
    await listen(join(directory, "vm-b.qmp"));
    await second.promise;
    stop.abort();
    await running;
    expect(found).toEqual(["a", "b"]);
  });
});
