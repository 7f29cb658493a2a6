// `abort --all`, on an API server in memory; the test is operator and agent.

import { expect, test } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import type { DomainSnapshot, DomainSnapshotSpec, DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import { domainSnapshots } from "../api/v1alpha1/group.ts";
import { ResourceClient } from "../kube/resource-client.ts";
import { abortAll } from "./abort-all.ts";

const at = "2026-01-01T10:00:00.000000Z";
const held: DomainSnapshotStatus = { phase: "ManualStoragePending", nodeName: "node-1", startedAt: at, pausedAt: at };
const aborted = { reason: "Aborted", message: "abort was requested" };

function world() {
  const clock = new FakeClock();
  const api = new FakeApiServer({ clock });
  const snapshots = new ResourceClient<DomainSnapshot>({ api, resource: domainSnapshots });
  const told: { readonly out: string[]; readonly err: string[] } = { out: [], err: [] };
  const terminal = {
    out: (text: string) => void told.out.push(text),
    error: (text: string) => void told.err.push(text),
    exitCode: () => undefined,
  };
  const snapshot = (
    name: string,
    status?: DomainSnapshotStatus,
    options: { namespace?: string; spec?: Partial<DomainSnapshotSpec> } = {},
  ) => {
    const { namespace = "shop", spec } = options;
    api.put(domainSnapshots, {
      metadata: { name, namespace },
      spec: { domainRef: { name: "db" }, capture: "paused", quiesce: "Never", deletionPolicy: "Retain", ...spec },
      ...(status !== undefined && { status }),
    });
  };
  const specOf = async (name: string, namespace = "shop") => (await snapshots.get(name, namespace))?.spec;
  /** Changes the status under way, keeping what the command has written to the spec. */
  const report = async (name: string, status: DomainSnapshotStatus, namespace = "shop") => {
    snapshot(
      name,
      { ...(await snapshots.get(name, namespace))?.status, ...status },
      {
        namespace,
        spec: { ...(await specOf(name, namespace)) },
      },
    );
    await clock.advance(10);
  };
  const run = async (options: { allNamespaces?: boolean; domain?: string; dryRun?: boolean } = {}) => {
    const ended = abortAll({
      cluster: { snapshots, namespace: "shop", log: silentLog },
      terminal,
      allNamespaces: false,
      dryRun: false,
      timeoutMilliseconds: 120_000,
      clock,
      ...options,
    });
    // Lists, patches and watches of an API server in memory need turns, not time.
    for (let turn = 0; turn < 20; turn += 1) await clock.advance(1);
    // In an object: a promise returned by itself would be awaited.
    return { ended };
  };
  const writes = () =>
    api.requests.filter(({ method }) => method === "PATCH").map(({ path }) => path.split("/").at(-1));
  return { api, clock, told, snapshot, specOf, report, run, writes };
}

test("every one under way is aborted at once, and waited for", async () => {
  const { told, snapshot, specOf, report, run } = world();
  snapshot("held", held);
  snapshot("pending");
  snapshot("over", { phase: "Completed" });
  snapshot("elsewhere", held, { namespace: "bank" });
  const { ended } = await run();
  expect((await specOf("held"))?.abort).toBe(true);
  expect((await specOf("pending"))?.abort).toBe(true);
  expect((await specOf("over"))?.abort).toBeUndefined();
  expect((await specOf("elsewhere", "bank"))?.abort).toBeUndefined();
  await report("held", { phase: "Failed", error: aborted, resumedAt: at });
  expect(told).toEqual({ out: ["shop/held: Failed"], err: [] });
  await report("pending", { phase: "Failed", error: aborted });
  expect(await ended).toBe(0);
  expect(told).toEqual({ out: ["shop/held: Failed", "shop/pending: Failed"], err: [] });
});

test("of all namespaces, or of one domain only", async () => {
  const { told, snapshot, report, run, writes } = world();
  snapshot("a", held);
  snapshot("b", held, { namespace: "bank" });
  snapshot("c", held, { namespace: "bank", spec: { domainRef: { name: "web" } } });
  const { ended } = await run({ allNamespaces: true, domain: "web" });
  expect(writes()).toEqual(["c"]);
  await report("c", { phase: "Failed", error: aborted, resumedAt: at }, "bank");
  expect(await ended).toBe(0);
  expect(told.out).toEqual(["bank/c: Failed"]);
});

test.each<[string, Partial<DomainSnapshotSpec>, DomainSnapshotStatus]>([
  ["resumed", { resume: true }, {}],
  ["resumed, which was taken back", { resume: false }, { resumeRequestedAt: at }],
  ["aborted", { abort: true }, {}],
  ["aborted, which was taken back", {}, { abortRequestedAt: at }],
])("one that was %s is left as it is, and waited for", async (_what, spec, status) => {
  const { snapshot, report, run, writes } = world();
  snapshot("decided", { ...held, ...status }, { spec });
  const { ended } = await run();
  expect(writes()).toEqual([]);
  await report("decided", { phase: "Completed", resumedAt: at });
  expect(await ended).toBe(0);
});

test("one that is resumed between the list and the abort is waited for", async () => {
  const { api, told, snapshot, report, run, writes } = world();
  snapshot("raced", held);
  api.failNext("PATCH", /raced/, 422, "Invalid");
  const starting = run();
  // It was listed as held; the refusal says that somebody was faster, and so it is when the command looks again.
  while (writes().length === 0) await Promise.resolve();
  snapshot("raced", held, { spec: { resume: true } });
  const { ended } = await starting;
  await report("raced", { phase: "Completed", resumedAt: at });
  expect(await ended).toBe(0);
  expect(told).toEqual({ out: ["shop/raced: Completed"], err: [] });
});

test("one that cannot be aborted fails the command, with the remedy; the others go on", async () => {
  const { api, told, snapshot, report, run } = world();
  snapshot("forbidden", held);
  snapshot("allowed", held);
  api.failNext("PATCH", /forbidden/, 403, "Forbidden");
  const { ended } = await run();
  await report("allowed", { phase: "Failed", error: aborted, resumedAt: at });
  expect(await ended).toBe(1);
  expect(told.out).toEqual(["shop/allowed: Failed"]);
  expect(told.err).toEqual([expect.stringMatching(/^shop\/forbidden: .*ask the cluster's admin/)]);
});

test("one that does not end in time fails the command", async () => {
  const { clock, told, snapshot, run } = world();
  snapshot("stuck", held);
  const { ended } = await run();
  await clock.advance(120_000);
  expect(await ended).toBe(1);
  expect(told.err).toEqual([
    expect.stringMatching(/^shop\/stuck: .*ManualStoragePending after 120 s; raise --timeout/),
  ]);
});

test("a guest that was not released fails the command, and is named with its node", async () => {
  const { told, snapshot, report, run } = world();
  snapshot("broken", held);
  const { ended } = await run();
  await report("broken", { phase: "Failed", error: { reason: "ResumeFailed", message: "it is io-error" } });
  expect(await ended).toBe(1);
  expect(told.out).toEqual([]);
  expect(told.err).toEqual([
    expect.stringMatching(/^shop\/broken: Failed; ResumeFailed: .*the guest db on node node-1 runs again: look at it$/),
  ]);
});

test("a deletion is an end: in order after the last status, doubtful while the guest was held", async () => {
  const { api, clock, told, snapshot, run } = world();
  snapshot("pending");
  snapshot("forgone", held);
  const { ended } = await run();
  api.remove(domainSnapshots, "pending", "shop");
  api.remove(domainSnapshots, "forgone", "shop");
  await clock.advance(10);
  expect(await ended).toBe(1);
  expect(told.out).toEqual(["shop/pending: deleted"]);
  expect(told.err).toEqual([expect.stringMatching(/^shop\/forgone: deleted; nobody knows/)]);
});

test("a dry run lists what it would do, and writes nothing", async () => {
  const { told, snapshot, run, writes } = world();
  snapshot("held", held);
  snapshot("new");
  snapshot("released", held, { spec: { resume: true } });
  const { ended } = await run({ dryRun: true });
  expect(await ended).toBe(0);
  expect(told.out.toSorted()).toEqual([
    "shop/held: ManualStoragePending, would be aborted",
    "shop/new: Pending, would be aborted",
    "shop/released: ManualStoragePending, resumed already, would be waited for",
  ]);
  expect(writes()).toEqual([]);
});

test("with nothing under way there is nothing to wait for", async () => {
  const { told, snapshot, run } = world();
  snapshot("over", { phase: "Failed", error: aborted });
  expect(await (await run()).ended).toBe(0);
  expect(told).toEqual({ out: [], err: ["no DomainSnapshot is under way"] });
});
