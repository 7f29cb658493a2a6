import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contentName } from "../../src/operator/names.ts";
import { namespace, node, OperatorFixture, time } from "./operator-fixture.ts";
import { aRequest, completed, conditionOf, hold, rolledBack, statusOf } from "./puppet-agent.ts";

let cluster: OperatorFixture;

beforeAll(async () => {
  cluster = await OperatorFixture.start();
  await cluster.renewLease(node, 600);
  cluster.startOperator({ agentGraceMilliseconds: 1_000 });
}, 180_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

describe("the whole path", () => {
  test("a request is planned, held, released and completed within its budget of API writes", async () => {
    const request = await aRequest(cluster, "whole");
    const seen = await cluster.snapshot("whole", "seen", (s) => s.status !== undefined);
    expect(seen.status).toMatchObject({ phase: "Pending", observedGeneration: 1 });
    expect([statusOf(seen, "Ready"), statusOf(seen, "Reconciling")]).toEqual(["Unknown", "True"]);

    const content = await cluster.content(request);
    expect(content.spec).toMatchObject({
      nodeName: node,
      capture: "paused",
      desired: "Held",
      deletionPolicy: "Retain",
    });
    expect(content.spec.disks.map((disk) => [disk.name, disk.snapshot])).toEqual([
      ["vda", "manual"],
      ["vdb", "external"],
      ["sda", "none"],
    ]);
    await cluster.report(content, { phase: "SavingMemory", startedAt: time(), pausedAt: time() });
    await cluster.phase("whole", "SavingMemory");
    const held = await hold(cluster, content);
    const onHold = await cluster.phase("whole", "ManualStoragePending");
    expect(
      ["ManualStoragePending", "MemorySaved", "DisksSwitched", "GuestPaused"].map((type) => statusOf(onHold, type)),
    ).toEqual(["True", "True", "True", "True"]);
    expect([statusOf(onHold, "Ready"), statusOf(onHold, "Reconciling"), statusOf(onHold, "Stalled")]).toEqual([
      "False",
      "absent",
      "absent",
    ]);
    await cluster.plane.kubectl([
      "wait",
      "--for=condition=ManualStoragePending",
      "dsnap/whole",
      "-n",
      namespace,
      "--timeout=5s",
    ]);

    await cluster.patch("whole", { resume: true });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    await cluster.report(content, completed(held));
    const done = await cluster.phase("whole", "Completed");
    await cluster.plane.kubectl([
      "wait",
      "--for=jsonpath={.status.phase}=Completed",
      "dsnap/whole",
      "-n",
      namespace,
      "--timeout=5s",
    ]);
    expect(done.status).toMatchObject({
      observedGeneration: 2,
      requestedBy: "storage-hook",
      nodeName: node,
      contentName: content.metadata.name,
      pause: { totalMilliseconds: 20 },
    });
    expect(done.status?.resumeRequestedAt).toBeDefined();
    expect([statusOf(done, "Ready"), statusOf(done, "Reconciling"), statusOf(done, "Stalled")]).toEqual([
      "True",
      "absent",
      "absent",
    ]);

    const writes = await cluster.writesOf(request);
    const ofOperator = writes.filter((event) => event.user.username.endsWith(":domain-snapshot-operator"));
    expect(
      ofOperator.map(({ verb, objectRef }) => `${verb} ${objectRef.resource}/${objectRef.subresource ?? ""}`),
    ).toHaveLength(7);
    expect(writes.length).toBeLessThanOrEqual(14);
    expect((await cluster.eventReasons("whole")).sort()).toEqual([
      "Completed",
      "ManualStoragePending",
      "ResumeRequested",
      "SnapshotStarted",
    ]);
  });

  test("a hold that is kept paused past its deadline stays pending, stalled, and can still be resumed", async () => {
    const request = await aRequest(cluster, "kept", { hold: { timeoutSeconds: 1, onTimeout: "KeepPaused" } });
    const content = await cluster.content(request);
    const held = await hold(cluster, content);
    await cluster.phase("kept", "ManualStoragePending");
    await cluster.report(content, { ...held, holdExpired: true });
    const expired = await cluster.snapshot("kept", "expired", (s) => statusOf(s, "HoldExpired") === "True");
    expect(expired.status?.phase).toBe("ManualStoragePending");
    expect(statusOf(expired, "Stalled")).toBe("True");
    await cluster.patch("kept", { resume: true });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    await cluster.report(content, completed({ ...held, holdExpired: true }));
    expect(statusOf(await cluster.phase("kept", "Completed"), "Ready")).toBe("True");
  });

  test("a longer hold reaches the agent during the hold", async () => {
    const request = await aRequest(cluster, "longer", { hold: { timeoutSeconds: 60, onTimeout: "Resume" } });
    await hold(cluster, await cluster.content(request));
    await cluster.phase("longer", "ManualStoragePending");
    await cluster.patch("longer", { hold: { timeoutSeconds: 900 } });
    const content = await cluster.content(request, "longer", ({ spec }) => spec.hold.timeoutSeconds === 900);
    expect(content.spec.hold.onTimeout).toBe("Resume");
  });
});

describe("resume and abort", () => {
  test("an early resume is refused with the phase, and the hold stands", async () => {
    const request = await aRequest(cluster, "early");
    const content = await cluster.content(request);
    await cluster.report(content, { phase: "SavingMemory", startedAt: time() });
    await cluster.phase("early", "SavingMemory");
    await expect(cluster.patch("early", { resume: true })).rejects.toThrow(/SavingMemory/);
    await hold(cluster, content);
    await cluster.phase("early", "ManualStoragePending");
    expect((await cluster.content(request)).spec.desired).toBe("Held");
  });

  test("an abort in the hold is passed on and ends Failed/Aborted", async () => {
    const request = await aRequest(cluster, "abort");
    const content = await cluster.content(request);
    const held = await hold(cluster, content);
    await cluster.phase("abort", "ManualStoragePending");
    await cluster.patch("abort", { abort: true });
    await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
    await cluster.report(content, rolledBack(held));
    const failed = await cluster.phase("abort", "Failed");
    expect(failed.status).toMatchObject({ error: { reason: "Aborted" }, requestedBy: "storage-hook" });
    expect(failed.status?.abortRequestedAt).toBeDefined();
    expect([statusOf(failed, "Ready"), statusOf(failed, "Stalled"), statusOf(failed, "MemorySaved")]).toEqual([
      "False",
      "True",
      "False",
    ]);
  });

  test("one created with resume: true is Replayed and gets no Content", async () => {
    const request = await aRequest(cluster, "replayed", { resume: true });
    const failed = await cluster.phase("replayed", "Failed");
    expect(conditionOf(failed, "Ready")?.reason).toBe("Replayed");
    expect(cluster.admin.contents.store.get(contentName(request.metadata.uid ?? ""))).toBeUndefined();
    expect(await cluster.writesOf(request)).toHaveLength(1);
  });
});

describe("refusals that need no guest", () => {
  test("an unknown domain", async () => {
    await cluster.request("nowhere", "no-such-domain");
    const failed = await cluster.phase("nowhere", "Failed");
    expect(failed.status?.error).toMatchObject({ reason: "DomainNotFound" });
    expect(failed.status?.error?.message).toContain("kubectl get domains");
  });

  test("an unknown disk", async () => {
    await aRequest(cluster, "disk", { disks: [{ name: "vdz", snapshot: "manual" }] });
    expect((await cluster.phase("disk", "Failed")).status?.error?.reason).toBe("InvalidDisk");
  });

  test("a domain on a node without an agent", async () => {
    await cluster.publishDomain("db-remote", "node-without-agent");
    const request = await cluster.request("remote", "db-remote");
    const failed = await cluster.phase("remote", "Failed");
    expect(failed.status?.error?.reason).toBe("AgentLost");
    expect(cluster.admin.contents.store.get(contentName(request.metadata.uid ?? ""))).toBeUndefined();
  });
});
