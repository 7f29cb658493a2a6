import { describe, expect, test } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import type { ContentSpec, ContentStatus, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { Store } from "../kube/store.ts";
import type { ContentControl } from "./content-control.ts";
import { ContentReconciler } from "./content-reconciler.ts";

let version = 0;

function content(
  name: string,
  options: {
    uid?: string;
    domain?: string;
    spec?: Partial<ContentSpec>;
    status?: ContentStatus;
    deleted?: boolean;
  } = {},
): DomainSnapshotContent {
  version += 1;
  return {
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshotContent",
    metadata: {
      name,
      uid: options.uid ?? `uid-${name}`,
      resourceVersion: `${version}`,
      creationTimestamp: `2026-01-01T00:00:0${name.length}Z`,
      ...(options.deleted && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    },
    spec: {
      snapshotRef: { namespace: "shop", name, uid: "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a01" },
      nodeName: "n1",
      domain: { namespace: "shop", name: options.domain ?? "db", uuid: "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a01" },
      capture: "paused",
      memory: { snapshot: "external" },
      disks: [],
      quiesce: "Never",
      hold: { timeoutSeconds: 600, onTimeout: "Resume" },
      desired: "Held",
      deletionPolicy: "Retain",
      ...options.spec,
    },
    ...(options.status && { status: options.status }),
  };
}

function reconciling(options: { interrupted?: string[] } = {}) {
  const store = new Store<DomainSnapshotContent>();
  const calls: string[] = [];
  const controls = new Map<string, ContentControl>();
  const ends = new Map<string, () => void>();
  const reconciler = new ContentReconciler<string>({
    store,
    domain: (key) => (key === "shop/db" || key === "shop/web" ? key : undefined),
    worker: {
      start: ({ metadata }, domain, control) => {
        calls.push(`start ${metadata.name} on ${domain}`);
        controls.set(metadata.name, control);
        return new Promise((resolve) => ends.set(metadata.name, resolve));
      },
      refuse: async ({ metadata }, { reason }) => void calls.push(`refuse ${metadata.name} ${reason}`),
      recover: ({ uid }, domain, control) => {
        calls.push(`recover ${uid} on ${domain}`);
        controls.set(uid, control);
        return new Promise((resolve) => ends.set(uid, resolve));
      },
    },
    log: silentLog,
  });
  const hold = { timeoutSeconds: 600, onTimeout: "Resume" } as const;
  reconciler.start((options.interrupted ?? []).map((uid) => ({ uid, domainKey: "shop/db", hold })));
  const end = async (name: string) => {
    ends.get(name)?.();
    await settle();
  };
  return { store, calls, controls, reconciler, end };
}

describe("the Contents of a node", () => {
  test("a held one is started once, however often it changes", async () => {
    const { store, calls, end } = reconciling();
    store.applyChange(content("a"));
    store.applyChange(content("a", { status: { phase: "Preparing" } }));
    await end("a");
    // The store is behind: the end was written, the watch has not shown it.
    store.applyChange(content("a", { status: { phase: "ManualStoragePending" } }));
    expect(calls).toEqual(["start a on shop/db"]);
  });

  test("one after another on a guest, side by side on two", async () => {
    const { store, calls, end } = reconciling();
    store.applyChange(content("a"));
    store.applyChange(content("ccc"));
    store.applyChange(content("bb"));
    store.applyChange(content("w", { domain: "web" }));
    expect(calls).toEqual(["start a on shop/db", "start w on shop/web"]);
    await end("a");
    expect(calls.at(-1)).toBe("start bb on shop/db");
    await end("bb");
    expect(calls.at(-1)).toBe("start ccc on shop/db");
  });

  test("a release, a moved deadline and a deletion reach the engine at once", () => {
    const { store, controls } = reconciling();
    store.applyChange(content("a"));
    store.applyChange(content("w", { domain: "web" }));
    store.applyChange(content("a", { spec: { desired: "Released" } }));
    expect(controls.get("a")?.desired()).toBe("Released");
    store.applyChange(content("w", { domain: "web", spec: { hold: { timeoutSeconds: 9, onTimeout: "KeepPaused" } } }));
    expect(controls.get("w")?.hold()).toEqual({ timeoutSeconds: 9, onTimeout: "KeepPaused" });
    store.applyChange(content("w", { domain: "web", deleted: true }));
    expect(controls.get("w")?.desired()).toBe("Aborted");
  });

  test("absence from a complete list is an abort", () => {
    const { store, controls } = reconciling();
    store.replace([content("a")], "1");
    expect(controls.get("a")?.desired()).toBe("Held");
    store.replace([], "2");
    expect(controls.get("a")?.desired()).toBe("Aborted");
  });

  test("a namesake created anew ends the old one and waits for it", async () => {
    const { store, calls, controls, end } = reconciling();
    store.applyChange(content("a"));
    const old = controls.get("a");
    store.applyChange(content("a", { uid: "another" }));
    expect(old?.desired()).toBe("Aborted");
    await end("a");
    expect(calls).toEqual(["start a on shop/db", "start a on shop/db"]);
  });

  test.each<[string, DomainSnapshotContent, string[]]>([
    ["one that ended is ignored", content("a", { status: { phase: "Completed" } }), []],
    ["one deleted before it began", content("a", { deleted: true }), ["refuse a Aborted"]],
    ["one aborted before it began", content("a", { spec: { desired: "Aborted" } }), ["refuse a Aborted"]],
    ["one released before it began", content("a", { spec: { desired: "Released" } }), ["refuse a Replayed"]],
    ["one of a guest that is not here", content("a", { domain: "other" }), ["refuse a DomainNotFound"]],
    ["one whose journal is lost", content("a", { status: { phase: "ManualStoragePending" } }), ["refuse a AgentLost"]],
  ])("%s", (_what, object, expected) => {
    const { store, calls } = reconciling();
    store.applyChange(object);
    expect(calls).toEqual(expected);
  });

  test("what an agent before us began is taken up before the API server answers, and follows the Content from then on", async () => {
    const { store, calls, controls, end } = reconciling({ interrupted: ["uid-a", "uid-gone"] });
    expect(calls).toEqual(["recover uid-a on shop/db", "recover uid-gone on shop/db"]);
    store.replace([content("a", { spec: { desired: "Released" } })], "1");
    await settle();
    expect(controls.get("uid-a")?.desired()).toBe("Released");
    expect(controls.get("uid-gone")?.desired()).toBe("Aborted");
    await end("uid-a");
    expect(calls).toHaveLength(2);
  });

  test("an agent that stops takes nothing new and waits for what runs", async () => {
    const { store, calls, controls, reconciler, end } = reconciling();
    store.applyChange(content("a"));
    const stopped = reconciler.stop();
    expect(controls.get("a")?.desired()).toBe("Held");
    store.applyChange(content("w", { domain: "web" }));
    await end("a");
    await stopped;
    expect(calls).toEqual(["start a on shop/db"]);
  });
});
