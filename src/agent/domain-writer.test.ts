import { describe, expect, onTestFinished, test } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import type { Domain } from "../api/v1alpha1/domain.ts";
import { domains } from "../api/v1alpha1/group.ts";
import { Reflector } from "../kube/reflector.ts";
import { ResourceClient } from "../kube/resource-client.ts";
import { Store } from "../kube/store.ts";
import type { DomainSight } from "./domain-status.ts";
import { DomainWriter } from "./domain-writer.ts";

const uuid = "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a01";
const running: DomainSight = {
  unavailable: undefined,
  observation: {
    uuid,
    state: "Running",
    qemuVersion: "7.2.22",
    memoryBytes: 1024,
    captureModes: ["live", "paused"],
    disks: [{ name: "vda", readOnly: false, empty: false }],
    images: new Map(),
  },
  state: "Running",
  activeSnapshot: undefined,
  images: { is: "settled" },
};
const paused: DomainSight = { ...running, state: "Paused" };

async function writing() {
  const clock = new FakeClock();
  const api = new FakeApiServer({ clock });
  const client = new ResourceClient<Domain>({ api, resource: domains });
  const store = new Store<Domain>();
  const stop = new AbortController();
  const shared = { client, store, clock, random: () => 1, log: silentLog, signal: stop.signal };
  const reflecting = new Reflector(shared).run(stop.signal);
  const writer = new DomainWriter({ ...shared, namespace: "shop", name: "db", nodeName: "n1" });
  onTestFinished(async () => {
    stop.abort();
    await reflecting;
  });
  await clock.advance(10);
  const writes = () => api.requests.filter(({ method }) => method === "PATCH").length;
  const stored = () => store.get("shop/db");
  const ready = () => stored()?.status?.conditions?.find(({ type }) => type === "Ready");
  return { api, client, clock, writer, writes, stored, ready };
}

describe("the Domain object of a guest", () => {
  test("is created once and not written again while nothing changes", async () => {
    const { clock, writer, writes, stored } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    writer.publish(uuid, { ...running });
    await clock.advance(60_000);
    expect(writes()).toBe(2);
    expect(stored()).toMatchObject({ spec: { nodeName: "n1", uuid }, status: { state: "Running" } });
  });

  test("changes within a second are one write, of the last", async () => {
    const { clock, writer, writes, stored } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    for (let turn = 0; turn < 9; turn += 1) {
      writer.publish(uuid, turn % 2 === 0 ? paused : running);
      await clock.advance(50);
    }
    await clock.advance(1000);
    expect(writes()).toBe(3);
    expect(stored()?.status?.state).toBe("Paused");
  });

  test("a change that is taken back before it was written is not written", async () => {
    const { clock, writer, writes } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    writer.publish(uuid, paused);
    await clock.advance(100);
    writer.publish(uuid, running);
    await clock.advance(5000);
    expect(writes()).toBe(2);
  });

  test("a condition keeps its time while its status stays", async () => {
    const { clock, writer, ready } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    const before = ready();
    writer.publish(uuid, paused);
    await clock.advance(90_000);
    expect(ready()).toEqual(before);
    writer.publish(uuid, { ...paused, unavailable: { reason: "MonitorBusy", message: "another client" } });
    await clock.advance(90_000);
    expect(ready()).toMatchObject({ status: "False", reason: "MonitorBusy" });
    expect(ready()?.lastTransitionTime).not.toBe(before?.lastTransitionTime);
  });

  test("a condition says which generation of the Domain it is about, also after the guest was replaced", async () => {
    const { clock, writer, ready } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    expect(ready()?.observedGeneration).toBe(1);
    writer.publish("5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a02", running);
    await clock.advance(5000);
    expect(ready()?.observedGeneration).toBe(2);
  });

  test("a guest that is away leaves what was seen of it", async () => {
    const { clock, writer, stored } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    const unavailable = { reason: "MonitorUnavailable", message: "no socket" };
    writer.publish(uuid, { ...running, unavailable, observation: undefined, state: "Unknown" });
    await clock.advance(5000);
    expect(stored()?.status).toMatchObject({ state: "Unknown", qemuVersion: "7.2.22", disks: [{ name: "vda" }] });
  });

  test("a deleted one is made anew", async () => {
    const { api, clock, writer, stored } = await writing();
    writer.publish(uuid, running);
    await clock.advance(10);
    api.remove(domains, "db", "shop");
    await clock.advance(5000);
    expect(stored()?.status?.state).toBe("Running");
  });

  test("failed writes are repeated until accepted", async () => {
    const { api, clock, writer, stored } = await writing();
    for (let failure = 0; failure < 3; failure += 1) api.failNext("PATCH", /domains/, 503);
    writer.publish(uuid, running);
    await clock.advance(10_000);
    expect(stored()?.status?.state).toBe("Running");
  });

  test("one that another node's agent vouches for is not taken over; one that nobody vouches for is", async () => {
    const { api, client, clock, writer, writes, stored } = await writing();
    const conditions = [
      { type: "Ready", status: "True", reason: "MonitorReachable", message: "", lastTransitionTime: "" },
    ];
    api.put(domains, { ...domainOf("n2"), status: { conditions } });
    writer.publish(uuid, running);
    await clock.advance(30_000);
    expect(writes()).toBe(0);
    await client.applyStatus(
      {
        metadata: { namespace: "shop", name: "db" },
        status: { conditions: [{ ...conditions[0], status: "Unknown" }] },
      },
      { fieldManager: "domain-snapshot-operator", force: true },
    );
    await clock.advance(30_000);
    expect(stored()?.spec.nodeName).toBe("n1");
  });
});

function domainOf(nodeName: string): Domain {
  return {
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "Domain",
    metadata: { namespace: "shop", name: "db" },
    spec: { nodeName, uuid },
  };
}
