// What backups, pipelines and retries do with one-shot objects, on a real API server: no guest is paused a second time.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import { contentName, requestAnnotation } from "../../src/operator/names.ts";
import { namespace, node, OperatorFixture } from "./operator-fixture.ts";
import { aRequest, completed, conditionOf, hold, rolledBack } from "./puppet-agent.ts";

let cluster: OperatorFixture;

beforeAll(async () => {
  cluster = await OperatorFixture.start();
  await cluster.renewLease(node, 600);
  cluster.startOperator({ agentGraceMilliseconds: 1_000 });
}, 180_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

async function create(name: string, domain: string, metadata: object, spec: object = {}): Promise<DomainSnapshot> {
  return await cluster.admin.snapshots.client.create({
    metadata: { name, namespace, ...metadata },
    spec: { domainRef: { name: domain }, memory: { snapshot: "external" }, ...spec },
  });
}

/** Failed with that reason, and no Content ever was. */
async function expectRefused(request: DomainSnapshot, reason: string): Promise<DomainSnapshot> {
  const failed = await cluster.phase(request.metadata.name, "Failed");
  expect(failed.status?.error?.reason).toBe(reason);
  expect(conditionOf(failed, "Ready")?.reason).toBe(reason);
  expect(cluster.admin.contents.store.get(contentName(request.metadata.uid ?? ""))).toBeUndefined();
  return failed;
}

async function complete(name: string): Promise<DomainSnapshot> {
  const request = await aRequest(cluster, name);
  const content = await cluster.content(request);
  await cluster.report(content, completed(await hold(cluster, content)));
  return await cluster.phase(name, "Completed");
}

describe("a DomainSnapshot that comes back", () => {
  test("from a backup by Velero is Replayed, by its label", async () => {
    await cluster.publishDomain("db-velero");
    const labels = { "velero.io/restore-name": "monday" };
    await expectRefused(await create("velero", "db-velero", { labels }), "Replayed");
  });

  test("as a copy of a live object is Replayed, by the annotation of its original", async () => {
    const original = await complete("original");
    const annotations = original.metadata.annotations ?? {};
    expect(JSON.parse(annotations[requestAnnotation] ?? "")).toMatchObject({ uid: original.metadata.uid });
    await cluster.publishDomain("db-copy");
    const copy = await create("copy", "db-copy", { annotations });
    const failed = await expectRefused(copy, "Replayed");
    expect(failed.status?.error?.message).toContain(requestAnnotation);
  });

  test("pruned and created again by a pipeline is Replayed while what it captured is kept, and runs once that is gone", async () => {
    const first = await complete("pruned");
    await cluster.admin.snapshots.client.delete("pruned", namespace);
    await cluster.gone("snapshots", `${namespace}/pruned`);
    const second = await cluster.request("pruned", "db-pruned");
    const failed = await expectRefused(second, "Replayed");
    const kept = contentName(first.metadata.uid ?? "");
    expect(failed.status?.error?.message).toContain(kept);
    await cluster.admin.contents.client.delete(kept);
    await cluster.gone("contents", kept);
    await cluster.admin.snapshots.client.delete("pruned", namespace);
    await cluster.gone("snapshots", `${namespace}/pruned`);
    await cluster.content(await cluster.request("pruned", "db-pruned"));
  });

  test("by a forced replace in the hold is Replayed, and the first one is aborted", async () => {
    const first = await aRequest(cluster, "forced");
    const content = await cluster.content(first);
    const held = await hold(cluster, content);
    await cluster.phase("forced", "ManualStoragePending");
    await cluster.admin.snapshots.client.delete("forced", namespace);
    await cluster.admin.snapshots.client.mergePatch("forced", namespace, { metadata: { finalizers: [] } });
    await cluster.gone("snapshots", `${namespace}/forced`);
    await expectRefused(await cluster.request("forced", "db-forced"), "Replayed");
    await cluster.content(first, "aborted", ({ spec }) => spec.desired === "Aborted");
    await cluster.report(content, rolledBack(held));
    await cluster.gone("contents", content.metadata.name);
  });

  test("after spec.notAfter is not begun", async () => {
    await cluster.publishDomain("db-late");
    const spec = { notAfter: "2026-01-01T02:00:00+02:00" };
    const failed = await expectRefused(await create("late", "db-late", {}, spec), "DeadlineExceeded");
    expect(failed.status?.error?.message).toContain("spec.notAfter");
  });

  test("and waits past its deadline ends, saying what it waited for", async () => {
    const first = await aRequest(cluster, "first-in-line");
    await cluster.content(first);
    const waiting = await create("impatient", "db-first-in-line", {}, { startDeadlineSeconds: 2 });
    await cluster.snapshot("impatient", "waiting", (s) => conditionOf(s, "Ready")?.reason === "DomainBusy");
    const failed = await expectRefused(waiting, "DeadlineExceeded");
    expect(failed.status?.error?.message).toMatch(/startDeadlineSeconds.*first-in-line/);
  });
});

describe("what the operator wrote on a DomainSnapshot", () => {
  test("is put back when a tool replaces the whole object", async () => {
    const request = await aRequest(cluster, "replaced");
    await cluster.content(request);
    const live = await cluster.snapshot(
      "replaced",
      "taken",
      (s) => s.metadata.annotations?.[requestAnnotation] !== undefined,
    );
    await cluster.admin.snapshots.client.mergePatch("replaced", namespace, {
      metadata: { finalizers: [], annotations: { [requestAnnotation]: null } },
    });
    const back = await cluster.snapshot(
      "replaced",
      "taken again",
      (s) =>
        s.metadata.resourceVersion !== live.metadata.resourceVersion &&
        s.metadata.annotations?.[requestAnnotation] !== undefined &&
        (s.metadata.finalizers ?? []).length > 0,
    );
    expect(back.metadata.annotations).toEqual(live.metadata.annotations);
  });
});

describe("a deletion whose node is gone for good", () => {
  test("goes on at once for the annotation that says so, and not without", async () => {
    const die = cluster.keepLease("node-burnt");
    await cluster.publishDomain("db-burnt", "node-burnt");
    const request = await cluster.request("burnt", "db-burnt");
    const content = await cluster.content(request);
    await hold(cluster, content);
    await cluster.phase("burnt", "ManualStoragePending");
    await die();
    await cluster.admin.snapshots.client.delete("burnt", namespace);
    await cluster.snapshot("burnt", "lost", (s) => conditionOf(s, "Ready")?.reason === "AgentLost");
    expect(await cluster.admin.snapshots.client.get("burnt", namespace)).toBeDefined();
    const annotations = { "domainsnapshot.io/abandon": "true" };
    await cluster.admin.snapshots.client.mergePatch("burnt", namespace, { metadata: { annotations } });
    await cluster.gone("snapshots", `${namespace}/burnt`);
    await cluster.gone("contents", content.metadata.name);
  });
});

describe("a word on the hold", () => {
  /** Held, with the status that its user can see. */
  async function held(name: string) {
    const request = await aRequest(cluster, name);
    const content = await cluster.content(request);
    const status = await hold(cluster, content);
    await cluster.phase(name, "ManualStoragePending");
    return { request, content, status };
  }

  test("is kept when it is said twice, set back to false, or removed by a GitOps tool", async () => {
    const { request, content, status } = await held("said");
    await cluster.patch("said", { resume: true });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    const { status: latched } = await cluster.snapshot(
      "said",
      "latched",
      (s) => s.status?.resumeRequestedAt !== undefined,
    );
    await cluster.patch("said", { resume: true });
    await cluster.patch("said", { resume: false });
    await cluster.patch("said", { resume: null });
    await expect(cluster.patch("said", { abort: true })).rejects.toThrow(/resumeRequestedAt|first one wins/);
    await cluster.report(content, completed(status));
    const done = await cluster.phase("said", "Completed");
    expect(done.status?.resumeRequestedAt).toBe(latched?.resumeRequestedAt);
    expect((await cluster.content(request)).spec.desired).toBe("Released");
  });

  test("of server-side apply is kept when the next apply leaves it out", async () => {
    const { request } = await held("applied");
    const apply = async (spec: object) =>
      await cluster.admin.snapshots.client.apply(
        { metadata: { name: "applied", namespace }, spec: { domainRef: { name: "db-applied" }, ...spec } },
        { fieldManager: "pipeline", force: true },
      );
    await apply({ resume: true });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    const after = await apply({});
    expect(after.spec.resume).toBeUndefined();
    expect((await cluster.content(request)).spec.desired).toBe("Released");
  });

  test("and its opposite in one write are refused", async () => {
    await held("both");
    await expect(cluster.patch("both", { resume: true, abort: true })).rejects.toThrow(/exclude each other/);
  });

  test.each(["Preparing", "SavingMemory", "SwitchingDisks", "ManualStoragePending"] as const)(
    "abort is passed on in phase %s",
    async (phase) => {
      const name = `abort-${phase.toLowerCase()}`;
      const request = await aRequest(cluster, name);
      const content = await cluster.content(request);
      await cluster.report(content, { phase });
      await cluster.phase(name, phase);
      await cluster.patch(name, { abort: true });
      await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
      await cluster.report(content, rolledBack({ phase }));
      expect((await cluster.phase(name, "Failed")).status?.abortRequestedAt).toBeDefined();
    },
  );
});
