import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { seededRandom } from "../../test/support/seeded-random.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { ApiError } from "./api-error.ts";
import { type ApiResource, type KubeObject, objectKey } from "./kube-object.ts";
import { Reflector } from "./reflector.ts";
import { ResourceClient } from "./resource-client.ts";
import { Store } from "./store.ts";

interface Widget extends KubeObject {
  readonly spec?: { readonly size: number };
}

const widgets: ApiResource = { group: "test.io", version: "v1", kind: "Widget", plural: "widgets", namespaced: true };

function start(parse?: (raw: unknown) => Widget) {
  const clock = new FakeClock();
  const server = new FakeApiServer({ clock });
  const store = new Store<Widget>();
  const heard = new Map<string, unknown>();
  const changes: string[] = [];
  store.subscribe((change) => {
    changes.push(`${change.type} ${change.key}`);
    if (change.type === "Deleted") heard.delete(change.key);
    else heard.set(change.key, change.object);
  });
  const client = new ResourceClient<Widget>({ api: server, resource: widgets, ...(parse && { parse }) });
  const reflector = new Reflector({ client, store, clock, random: seededRandom(1), log: silentLog });
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  const put = (name: string, size = 1) => server.put(widgets, { metadata: { name, namespace: "ns" }, spec: { size } });
  const finish = async () => {
    stop.abort();
    await running;
  };
  return { clock, server, store, heard, changes, client, put, finish };
}

/** What reflector and server must agree on. */
function versions(objects: Iterable<KubeObject>): Record<string, string | undefined> {
  return Object.fromEntries(
    [...objects]
      .map((object) => [objectKey(object), object.metadata.resourceVersion] as const)
      .sort(([a], [b]) => a.localeCompare(b)),
  );
}

describe("Reflector", () => {
  it("opens the store's gate only after the last page", async () => {
    const { store, server, put, finish } = start();
    for (let index = 0; index < 8; index += 1) put(`w${index}`);
    expect(store.isSynced).toBe(false);
    await store.synced;
    expect(store.size).toBe(8);
    expect(server.requests.filter(({ method }) => method === "GET")).toHaveLength(3);
    await finish();
  });

  it("follows additions, changes and deletions, and strips managedFields", async () => {
    const { store, server, changes, finish } = start();
    await store.synced;
    await settle();
    server.put(widgets, { metadata: { name: "w", namespace: "ns", managedFields: [{ manager: "x" }] } });
    server.put(widgets, { metadata: { name: "w", namespace: "ns" }, spec: { size: 2 } });
    await settle();
    expect(store.get("ns/w")?.spec?.size).toBe(2);
    expect(JSON.stringify(store.list())).not.toContain("managedFields");
    server.remove(widgets, "w", "ns");
    await settle();
    expect(changes).toEqual(["Added ns/w", "Modified ns/w", "Deleted ns/w"]);
    await finish();
  });

  it("relists after 410 and reports what was deleted meanwhile", async () => {
    const { clock, store, server, changes, put, finish } = start();
    put("keep");
    put("gone");
    await store.synced;
    await settle();
    server.hangWatches();
    server.remove(widgets, "gone", "ns");
    server.compact();
    server.endWatches();
    await clock.advance(200_000);
    expect(versions(store.list())).toEqual(versions(server.all(widgets)));
    expect(changes.at(-1)).toBe("Deleted ns/gone");
    await finish();
  });

  it("does not relist when bookmarks kept a quiet watch young", async () => {
    const { clock, store, server, finish } = start();
    await store.synced;
    await settle();
    server.skipRevisions(100);
    server.sendBookmarks();
    await settle();
    server.compact();
    server.endWatches(ApiError.fromNetwork(new Error("reset"), "watch"));
    const lists = () => server.requests.filter(({ method }) => method === "GET").length;
    const before = lists();
    await clock.advance(60_000);
    expect(lists()).toBe(before);
    await finish();
  });

  it("keeps the last good version of an object that it cannot parse", async () => {
    const { store, server, put, finish } = start((raw) => {
      const widget = raw as Widget;
      if (widget.spec?.size === 13) throw new Error("unlucky");
      return widget;
    });
    put("w", 1);
    await store.synced;
    await settle();
    put("w", 13);
    put("other", 2);
    await settle();
    expect(store.get("ns/w")?.spec?.size).toBe(1);
    expect(store.get("ns/other")?.spec?.size).toBe(2);
    expect(server.all(widgets)).toHaveLength(2);
    await finish();
  });

  it("ends while it waits for a retry, and leaves nothing asleep", async () => {
    const { clock, server, finish } = start();
    for (let index = 0; index < 5; index += 1) server.failNext("GET", /widgets/, 500);
    await clock.advance(1_000);
    await finish();
    expect(clock.sleeping).toBe(0);
  });

  it("does not ask in a tight loop a server that ends each watch at once", async () => {
    const { clock, server, store, finish } = start();
    await store.synced;
    for (let round = 0; round < 1_000; round += 1) {
      server.endWatches();
      await clock.advance(100);
    }
    const opened = server.requests.filter(({ method }) => method === "WATCH").length;
    expect(opened).toBeGreaterThan(3);
    // 100 s with a backoff that grows to 5 s, halved by jitter at the most.
    expect(opened).toBeLessThan(45);
    await finish();
  });

  it("equals the server after any script of changes and faults", async () => {
    const name = fc.constantFrom("a", "b", "c", "d", "e");
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant("put" as const), name, size: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("remove" as const), name }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("write" as const), name, size: fc.nat(3) }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant("endWatches" as const), how: fc.constantFrom(undefined, 0, 410, 500) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constantFrom("hangWatches" as const, "compact" as const, "sendBookmarks" as const),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("fail" as const),
          method: fc.constantFrom("GET", "WATCH"),
          status: fc.constantFrom(0, 401, 410, 429, 500, 503),
        }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("advance" as const), milliseconds: fc.nat(40_000) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (script) => {
        const { clock, server, store, heard, client, put, finish } = start();
        for (const action of script) {
          if (action.do === "put") put(action.name, action.size);
          else if (action.do === "remove") server.remove(widgets, action.name, "ns");
          else if (action.do === "write") {
            // Our own write, put into the store before the watch shows it: it must not come back older, nor stay for ever.
            const body = { metadata: { name: action.name, namespace: "ns" }, spec: { size: action.size } };
            store.put(await client.apply(body, { fieldManager: "me" }));
            const known = store.get(`ns/${action.name}`);
            expect(Number(known?.metadata.resourceVersion)).toBeGreaterThan(0);
          } else if (action.do === "endWatches") {
            const status = action.how;
            server.endWatches(status === undefined ? undefined : ApiError.fromStatus({ code: status }));
          } else if (action.do === "fail") server.failNext(action.method, /widgets/, action.status);
          else if (action.do === "advance") await clock.advance(action.milliseconds);
          else server[action.do]();
          if (action.do !== "advance") await settle();
        }
        server.clearFaults();
        // The longest wait: a silent watch is given up after 90 s, then one backoff of 30 s.
        await clock.advance(180_000);
        expect(versions(store.list())).toEqual(versions(server.all(widgets)));
        expect([...heard.keys()].sort()).toEqual(Object.keys(versions(store.list())));
        expect([...heard.values()].every((object) => store.list().some((known) => known === object))).toBe(true);
        await finish();
      }),
      { numRuns: 200 },
    );
  });
});
