import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { parseConfiguration } from "./configuration.ts";

const minimal = `
domains:
- {namespace: shop, name: db-1, socket: /run/db-1.qmp, snapshotDirectory: /snap/db-1}
`;

describe("the agent's configuration", () => {
  test("fills in defaults", () => {
    const configuration = parseConfiguration(minimal, "agent.yaml");
    expect(configuration).toMatchObject({
      stateDirectory: "/var/lib/domain-snapshot",
      maximumHoldSeconds: 86400,
      discover: [],
    });
    expect(configuration.domains[0]).toMatchObject({ monitor: "dedicated", disks: [], allowedDirectories: [] });
  });

  test("a node without guests is no mistake: they may come with the next configuration", () => {
    expect(parseConfiguration("domains: []", "agent.yaml").domains).toEqual([]);
    expect(parseConfiguration("", "agent.yaml").domains).toEqual([]);
  });

  test("the sample is valid", async () => {
    const sample = new URL("../../deploy/samples/agent.yaml", import.meta.url);
    const configuration = parseConfiguration(await readFile(sample, "utf8"), "agent.yaml");
    expect(configuration.domains).toHaveLength(1);
    expect(configuration.discover[0]?.pattern).toBe("{name}.qmp");
  });

  test.each([
    ["a relative socket", minimal.replace("/run/db-1.qmp", "db-1.qmp"), "domains[0].socket: must be an absolute path"],
    [
      "a path with ..",
      minimal.replace("/snap/db-1", "/snap/../etc"),
      "domains[0].snapshotDirectory: must be a plain path",
    ],
    ["a name that Kubernetes would not take", minimal.replace("db-1,", "DB_1,"), "domains[0].name: "],
    ["an unknown field", `${minimal}maximumHold: 3\n`, 'Unrecognized key: "maximumHold"'],
    ["an unknown monitor kind", minimal.replace("}", ", monitor: mine}"), "domains[0].monitor: "],
    ["a UUID in capitals", minimal.replace("}", ", uuid: ABC}"), "domains[0].uuid: "],
    ["a hold of zero", `${minimal}maximumHoldSeconds: 0\n`, "maximumHoldSeconds: "],
    [
      "a command without a path",
      minimal.replace("}", ", diskChangeCommand: [tell]}"),
      "domains[0].diskChangeCommand: must begin with the absolute path",
    ],
    [
      "a disk found by two things",
      minimal.replace("}", ", disks: [{name: vda, qdev: a, serial: b}]}"),
      "domains[0].disks[0]: takes at most one of",
    ],
    [
      "a disk named twice",
      minimal.replace("}", ", disks: [{name: vda}, {name: vda}]}"),
      "domains[0].disks: names a disk twice",
    ],
    [
      "a guest named twice",
      minimal + minimal.split("\n")[2]?.replace("/run/db-1", "/run/db-2"),
      "domains[1].name: shop/db-1 is already used by domains[0]",
    ],
    [
      "a socket used twice",
      minimal + minimal.split("\n")[2]?.replace("db-1,", "db-2,"),
      "domains[1].socket: /run/db-1.qmp is already used by domains[0]",
    ],
    [
      "a pattern without a name",
      "discover: [{directory: /run, namespace: a, pattern: '*.qmp', snapshotDirectory: '/s/{name}'}]",
      "discover[0].pattern: must hold {name} once",
    ],
    [
      "guests that would share a directory",
      "discover: [{directory: /run, namespace: a, pattern: '{name}.qmp', snapshotDirectory: /s}]",
      "discover[0].snapshotDirectory: must hold {name} once",
    ],
    ["broken YAML", "domains: [", "agent.yaml: "],
  ])("refuses %s and names the field", (_what, text, message) => {
    expect(() => parseConfiguration(text, "agent.yaml")).toThrow(message);
  });
});
