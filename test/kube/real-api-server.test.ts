// The Kubernetes runtime against a real kube-apiserver and etcd: what an in-memory fake cannot vouch for.

import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EventRecorder } from "../../src/kube/event-recorder.ts";
import { removeFinalizer } from "../../src/kube/finalizers.ts";
import { tokenConfig } from "../../src/kube/in-cluster-config.ts";
import { KubeClient } from "../../src/kube/kube-client.ts";
import { kubeConfig } from "../../src/kube/kube-config.ts";
import type { KubeObject } from "../../src/kube/kube-object.ts";
import { LeaderElector, type Term } from "../../src/kube/leader-elector.ts";
import { leases } from "../../src/kube/lease.ts";
import { NodeLease } from "../../src/kube/node-lease.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import { StatusWriter } from "../../src/kube/status-writer.ts";
import { Store } from "../../src/kube/store.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";
import { silentLog as log } from "../support/silent-log.ts";
import { type Widget, widgetCrd, widgets } from "./widget.ts";

let plane: ControlPlane;
let client: KubeClient;
let tokenFile: string;
const namespace = "default";

function newClient(): KubeClient {
  const config = tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile });
  return new KubeClient({ config, log, clock, userAgent: "kube-test" });
}

/** Resolves once the predicate holds, looking again after each change of the store. */
async function until<T extends KubeObject>(store: Store<T>, predicate: () => boolean): Promise<void> {
  await new Promise<void>((resolve) => {
    const unsubscribe = store.subscribe(() => queueMicrotask(look));
    function look(): void {
      if (!predicate()) return;
      unsubscribe();
      resolve();
    }
    look();
  });
}

beforeAll(async () => {
  plane = await startControlPlane();
  tokenFile = join(plane.dir, "kube-test.token");
  await writeFile(tokenFile, plane.adminToken, { mode: 0o600 });
  await plane.apply(JSON.stringify(widgetCrd));
  await plane.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "crd/widgets.test.io"]);
  client = newClient();
}, 180_000);

afterAll(async () => {
  await client?.close();
  await plane?.stop();
});

describe("ResourceClient", () => {
  it("creates, reads, patches and deletes with preconditions", async () => {
    const resource = client.resource<Widget>(widgets);
    const created = await resource.create({ metadata: { name: "crud", namespace }, spec: { size: 1 } });
    expect(created).toMatchObject({ apiVersion: "test.io/v1", kind: "Widget", metadata: { generation: 1 } });
    await expect(resource.create({ metadata: { name: "crud", namespace } })).rejects.toMatchObject({
      reason: "AlreadyExists",
    });
    const { resourceVersion, uid } = created.metadata;
    const patched = await resource.mergePatch("crud", namespace, { metadata: { resourceVersion }, spec: { size: 2 } });
    expect((await resource.get("crud", namespace))?.spec?.size).toBe(2);
    const stale = resource.mergePatch("crud", namespace, { metadata: { resourceVersion }, spec: { size: 3 } });
    await expect(stale).rejects.toMatchObject({ reason: "Conflict", isFieldManagerConflict: false });
    const otherUid = resource.mergePatch("crud", namespace, { metadata: { uid: randomUUID() }, spec: { size: 3 } });
    await expect(otherUid).rejects.toMatchObject({ reason: "Invalid" });
    await expect(resource.delete("crud", namespace, { uid: randomUUID() })).rejects.toMatchObject({
      reason: "Conflict",
    });
    expect(await resource.delete("crud", namespace, { uid, resourceVersion: patched.metadata.resourceVersion })).toBe(
      true,
    );
    expect(await resource.get("crud", namespace)).toBeUndefined();
    expect(await resource.delete("crud", namespace)).toBe(false);
  });

  it("reports which field the schema refuses, as a failure that no retry mends", async () => {
    const refused = client.resource(widgets).create({ metadata: { name: "big", namespace }, spec: { size: 101 } });
    await expect(refused).rejects.toMatchObject({ status: 422, reason: "Invalid", retryable: false });
    await expect(refused).rejects.toMatchObject({ causes: [{ field: "spec.size" }] });
  });

  it("applies with one manager a field, tells a manager conflict, and can force", async () => {
    const resource = client.resource<Widget>(widgets);
    const apply = async (size: number, fieldManager: string, force = false) =>
      await resource.apply({ metadata: { name: "ssa", namespace }, spec: { size } }, { fieldManager, force });
    await apply(1, "one");
    await expect(apply(2, "two")).rejects.toMatchObject({
      status: 409,
      reason: "Conflict",
      isFieldManagerConflict: true,
    });
    expect((await apply(2, "two", true)).spec?.size).toBe(2);
  });

  it("applies the status of two writers side by side, and refuses to touch a namesake", async () => {
    const resource = client.resource<Widget>(widgets);
    const object = await resource.create({ metadata: { name: "status", namespace } });
    await resource.applyStatus({ metadata: object.metadata, status: { owner: "b" } }, { fieldManager: "b" });
    const writer = new StatusWriter({ client: resource, fieldManager: "a" });
    const written = await writer.write(object, { phase: "Ready" });
    expect(written.status).toEqual({ owner: "b", phase: "Ready" });
    expect(await writer.write(written, { phase: "Ready" })).toBe(written);
    expect((await writer.write(written, {})).status).toEqual({ owner: "b" });
    await resource.delete("status", namespace);
    await expect(writer.write(object, { phase: "Late" })).rejects.toMatchObject({ reason: "NotFound" });
    await resource.create({ metadata: { name: "status", namespace } });
    await expect(writer.write(object, { phase: "Late" })).rejects.toMatchObject({ reason: "Conflict" });
  });

  it("removes finalizers, the last one ending the object", async () => {
    const resource = client.resource<Widget>(widgets);
    const added = await resource.create({ metadata: { name: "final", namespace, finalizers: ["test.io/mine"] } });
    await resource.delete("final", namespace);
    const ending = await resource.get("final", namespace);
    expect(ending?.metadata.deletionTimestamp).toBeDefined();
    await expect(removeFinalizer(resource, added, "test.io/mine")).rejects.toMatchObject({ reason: "Conflict" });
    if (ending !== undefined) await removeFinalizer(resource, ending, "test.io/mine");
    expect(await resource.get("final", namespace)).toBeUndefined();
  });

  it("lists more objects than fit on a page", async () => {
    const resource = client.resource<Widget>(widgets);
    const labels = { set: "many" };
    const names = Array.from({ length: 620 }, (_, index) => `many-${index}`);
    await Promise.all(names.map((name) => resource.create({ metadata: { name, namespace, labels } })));
    const listed = await resource.list({ namespace, labelSelector: "set=many" });
    expect(new Set(listed.map(({ metadata }) => metadata.name))).toEqual(new Set(names));
  }, 60_000);
});

describe("configuration", () => {
  it("works from a kubeconfig and from a ServiceAccount's token, whose rights are its own", async () => {
    const fromFile = new KubeClient({
      config: await kubeConfig({ path: plane.adminKubeconfigPath }),
      log,
      clock,
      userAgent: "t",
    });
    await using _closing = fromFile;
    expect((await fromFile.resource(widgets).list({ namespace, labelSelector: "no=such" })).length).toBe(0);
    await plane.kubectl(["create", "serviceaccount", "nobody", "-n", namespace]);
    const file = join(plane.dir, "nobody.token");
    await writeFile(file, await plane.tokenFor({ namespace, name: "nobody" }));
    const config = tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile: file });
    await using nobody = new KubeClient({ config, log, clock, userAgent: "t" });
    await expect(nobody.resource(widgets).list({ namespace })).rejects.toMatchObject({
      status: 403,
      reason: "Forbidden",
    });
  });

  it("recovers from a token that was replaced on disk", async () => {
    const file = join(plane.dir, "rotating.token");
    await writeFile(file, "expired");
    const config = tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile: file });
    await using rotating = new KubeClient({ config, log, clock, userAgent: "t" });
    await config.credentials();
    await writeFile(file, plane.adminToken);
    // A forced read is taken at most once a second, so that a burst of 401s reads the file once.
    await clock.sleep(1_000);
    expect(await rotating.resource(widgets).get("none", namespace)).toBeUndefined();
  });
});

describe("Reflector", () => {
  it("survives a restart of the API server and misses nothing, deletions included", async () => {
    const own = newClient();
    const resource = own.resource<Widget>(widgets);
    const store = new Store<Widget>();
    const selection = { namespace, fieldSelector: "spec.node=n1" };
    const reflector = new Reflector({ client: resource, store, clock, random: Math.random, log, ...selection });
    const stop = new AbortController();
    const running = reflector.run(stop.signal);
    await store.synced;
    const put = async (name: string, node: string) =>
      await client.resource(widgets).apply({ metadata: { name, namespace }, spec: { node } }, { fieldManager: "test" });
    await put("r-gone", "n1");
    await put("r-other", "n2");
    await put("r-leaves", "n1");
    await until(store, () => store.size === 2);
    expect(store.get(`${namespace}/r-other`)).toBeUndefined();
    await plane.restartApiServer();
    await client.resource(widgets).delete("r-gone", namespace);
    await put("r-leaves", "n2");
    await put("r-new", "n1");
    await until(store, () => store.size === 1 && store.get(`${namespace}/r-new`) !== undefined);
    expect(JSON.stringify(store.list())).not.toContain("managedFields");
    stop.abort();
    await running;
    await own.close();
  }, 120_000);
});

describe("LeaderElector and NodeLease", () => {
  it("hand a lease over at once when the leader stops in good order, with a greater term", async () => {
    const terms: Term[] = [];
    const elector = (identity: string) =>
      new LeaderElector({
        client,
        namespace,
        name: "handover",
        identity,
        clock,
        random: Math.random,
        log,
        retryPeriodMilliseconds: 200,
      });
    const lead = (identity: string, stop: AbortController) => {
      const started = Promise.withResolvers<void>();
      const ended = elector(identity).run({
        signal: stop.signal,
        onStarted: async (signal, term) => {
          terms.push(term);
          started.resolve();
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        },
      });
      return { started: started.promise, ended };
    };
    const [stopOne, stopTwo] = [new AbortController(), new AbortController()];
    const one = lead("one", stopOne);
    await one.started;
    const two = lead("two", stopTwo);
    stopOne.abort();
    await one.ended;
    await two.started;
    const lease = await client.resource(leases).get("handover", namespace);
    expect(lease).toMatchObject({ spec: { holderIdentity: "two", leaseDurationSeconds: 15, leaseTransitions: 1 } });
    expect(terms).toEqual([{ transitions: 0 }, { transitions: 1 }]);
    stopTwo.abort();
    await two.ended;
  }, 30_000);

  it("create and renew a node's lease", async () => {
    const stop = new AbortController();
    const options = { client, namespace, name: "agent-n1", identity: "n1", clock, random: Math.random, log };
    const store = new Store();
    const reflector = new Reflector({
      client: client.resource(leases),
      store,
      clock,
      random: Math.random,
      log,
      namespace,
    });
    const reflecting = reflector.run(stop.signal);
    let renewals = 0;
    const seen = Promise.withResolvers<void>();
    store.subscribe(({ key }) => {
      if (key !== `${namespace}/agent-n1`) return;
      renewals += 1;
      if (renewals === 3) seen.resolve();
    });
    const renewing = new NodeLease({ ...options, renewPeriodMilliseconds: 100 }).run(stop.signal);
    await seen.promise;
    expect(store.get(`${namespace}/agent-n1`)).toMatchObject({
      spec: { holderIdentity: "n1", leaseDurationSeconds: 40 },
    });
    stop.abort();
    await Promise.all([renewing, reflecting]);
  }, 30_000);
});

describe("EventRecorder", () => {
  it("writes events that kubectl shows, and counts repetitions", async () => {
    const regarding = await client.resource<Widget>(widgets).create({ metadata: { name: "eventful", namespace } });
    const recorder = new EventRecorder({ client, component: "test.io/operator", instance: "pod-1", clock, log });
    for (let round = 0; round < 3; round += 1) {
      recorder.record({ regarding, type: "Warning", reason: "Tested", action: "Test", note: "it was tested" });
    }
    await recorder.flush();
    const shown = await plane.kubectl(["get", "events.events.k8s.io", "-n", namespace, "-o", "json"]);
    const items = JSON.parse(shown).items.filter((event: { reason: string }) => event.reason === "Tested");
    expect(items).toMatchObject([{ note: "it was tested", series: { count: 3 }, regarding: { name: "eventful" } }]);
    expect(await plane.kubectl(["events", "--for", "widgets.test.io/eventful", "-n", namespace])).toContain("Tested");
  });
});
