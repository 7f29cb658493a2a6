// Every manifest of the corpus and every sample, against a real API server with the committed CRDs.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  apiVersion,
  domainSnapshotContents,
  domainSnapshots,
  domains,
  type Resource,
} from "../../src/api/v1alpha1/group.ts";
import { ApiError } from "../../src/kube/api-error.ts";
import { tokenConfig } from "../../src/kube/in-cluster-config.ts";
import { KubeClient } from "../../src/kube/kube-client.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";
import { type CorpusCase, readCorpus, specOf } from "./corpus-case.ts";

type Fields = Readonly<Record<string, unknown>>;
interface StoredObject {
  readonly metadata: { readonly name: string };
  readonly spec: Fields;
}

const resources: Readonly<Record<CorpusCase["kind"], Resource>> = {
  Domain: domains,
  DomainSnapshot: domainSnapshots,
  DomainSnapshotContent: domainSnapshotContents,
};

let plane: ControlPlane;
let client: KubeClient;
let created = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
  const tokenFile = join(plane.dir, "admin.token");
  writeFileSync(tokenFile, plane.adminToken, { mode: 0o600 });
  const config = tokenConfig({ server: plane.server, caFile: plane.caFile, tokenFile });
  client = new KubeClient({ config, log: createLogger({ level: "fatal" }), clock: systemClock, userAgent: "corpus" });
}, 300_000);

afterAll(async () => {
  await client.close();
  await plane.stop();
});

for (const { file, cases } of readCorpus()) {
  describe(file, () => {
    it.each(cases)("$name", async (test) => {
      expect.hasAssertions();
      if (test.before === undefined) await checkCreate(test);
      else await checkUpdate(test, test.before);
    });
  });
}

describe("deploy/samples", () => {
  it.each(["domainsnapshot.yaml", "domainsnapshot-live.yaml"])("%s is accepted", async (sample) => {
    const text = readFileSync(new URL(`../../deploy/samples/${sample}`, import.meta.url), "utf8");
    const output = await plane.kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", "-"], { stdin: text });
    expect(output).toContain("created (server dry run)");
  });
});

describe("what is beside the schema", () => {
  it("lists all kinds by the category vm and by their short names", async () => {
    for (const name of ["vm", "dom", "dsnap", "dsnapc"]) {
      await expect(plane.kubectl(["get", name, "--all-namespaces"])).resolves.toBeDefined();
    }
  });

  it("prints the columns of a DomainSnapshot, and more when wide", async () => {
    await post("DomainSnapshot", "columns", { domainRef: { name: "columns" }, memory: { snapshot: "external" } });
    const header = async (...more: string[]) =>
      (await plane.kubectl(["get", "dsnap", "columns", ...more])).split("\n")[0];
    expect((await header())?.split(/\s+/)).toEqual(["NAME", "DOMAIN", "PHASE", "CAPTURE", "PAUSED", "READY", "AGE"]);
    expect(await header("-o", "wide")).toMatch(/^NAME .* NODE +MEMORY SIZE +REASON +AGE$/);
  });

  it("selects by the domain and by the phase", async () => {
    const selected = async (selector: string) =>
      (await plane.kubectl(["get", "dsnap", "-o", "name", "--field-selector", selector])).trim().split("\n");
    await post("DomainSnapshot", "selected", { domainRef: { name: "selected" } });
    await putStatus("DomainSnapshot", "selected", { phase: "Failed" });
    const wanted = "domainsnapshot.domainsnapshot.io/selected";
    expect(await selected("spec.domainRef.name=selected")).toEqual([wanted]);
    expect(await selected("spec.domainRef.name=selected,status.phase=Failed")).toEqual([wanted]);
    expect(await selected("spec.domainRef.name=selected,status.phase=Pending")).toEqual([""]);
  });

  it("lets kubectl wait for a phase and for a condition", async () => {
    await post("DomainSnapshot", "awaited", { domainRef: { name: "awaited" } });
    const lastTransitionTime = "2026-11-23T12:00:00Z";
    const held = {
      type: "ManualStoragePending",
      status: "True",
      reason: "Held",
      message: "cut now",
      lastTransitionTime,
    };
    await putStatus("DomainSnapshot", "awaited", { phase: "ManualStoragePending", conditions: [held] });
    const wait = (what: string) => plane.kubectl(["wait", `--for=${what}`, "dsnap/awaited", "--timeout=5s"]);
    await expect(wait("condition=ManualStoragePending")).resolves.toContain("condition met");
    await expect(wait("jsonpath={.status.phase}=ManualStoragePending")).resolves.toContain("condition met");
  });
});

async function checkCreate(test: CorpusCase): Promise<void> {
  const attempt = post(test.kind, nameFor(test), specOf(test, test.spec ?? {}), { dryRun: "All" });
  await checkOutcome(test, attempt);
}

async function checkUpdate(test: CorpusCase, before: Fields): Promise<void> {
  const spec = specOf(test, before);
  const name = nameFor(test, spec);
  await post(test.kind, name, spec);
  try {
    if (test.status !== undefined) await putStatus(test.kind, name, test.status);
    const attempt =
      test.statusAfter === undefined
        ? put(test.kind, name, { spec: specOf(test, test.after ?? {}), status: test.claimedStatus })
        : putStatus(test.kind, name, test.statusAfter);
    await checkOutcome(test, attempt);
  } finally {
    await client.request({ method: "DELETE", path: pathOf(test.kind, name) });
  }
}

async function checkOutcome(test: CorpusCase, attempt: Promise<StoredObject>): Promise<void> {
  if (test.refused !== undefined) {
    const causes = await causesOf(attempt);
    expect(causes.length, causes.join("\n")).toBe(test.refused.length);
    for (const part of test.refused) expect(causes).toContainEqual(expect.stringContaining(part));
    return;
  }
  const stored = await attempt;
  expect(stored.spec).toMatchObject(test.becomes ?? {});
  for (const field of test.lacks ?? []) expect(stored.spec).not.toHaveProperty(field);
}

/** The causes of a refusal as `field: message`; the server's remark that it did not go on checking is left out. */
async function causesOf(attempt: Promise<unknown>): Promise<string[]> {
  try {
    await attempt;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.causes.length === 0) return [error.message];
    return error.causes
      .map((cause) => `${cause.field ?? ""}: ${cause.message ?? ""}`)
      .filter((cause) => !cause.includes("some validation rules were not checked"));
  }
  throw new Error("accepted, although the case wants it refused");
}

/** Objects of one run need different names; a Content's name is fixed by its spec. */
function nameFor(test: CorpusCase, spec: Fields = test.base): string {
  if (test.metadataName !== undefined) return test.metadataName;
  if (test.nameLength !== undefined) return "n".repeat(test.nameLength);
  if (test.kind === "DomainSnapshotContent") return `dsnap-${String(Object(spec["snapshotRef"]).uid)}`;
  created += 1;
  return `case-${created}`;
}

function pathOf(kind: CorpusCase["kind"], name = ""): string {
  const { plural, namespaced } = resources[kind];
  return `/apis/${apiVersion}/${namespaced ? "namespaces/default/" : ""}${plural}${name && `/${name}`}`;
}

const strict = { fieldValidation: "Strict" };

async function post(kind: CorpusCase["kind"], name: string, spec: Fields, query = {}): Promise<StoredObject> {
  const body = { apiVersion, kind, metadata: { name }, spec };
  return stored(await client.request({ method: "POST", path: pathOf(kind), query: { ...strict, ...query }, body }));
}

/** Replaces the whole object, as kubectl replace does. */
async function put(kind: CorpusCase["kind"], name: string, fields: Fields): Promise<StoredObject> {
  const path = pathOf(kind, name);
  const { metadata } = stored(await client.request({ method: "GET", path }));
  return stored(
    await client.request({ method: "PUT", path, query: strict, body: { apiVersion, kind, metadata, ...fields } }),
  );
}

async function putStatus(kind: CorpusCase["kind"], name: string, status: Fields): Promise<StoredObject> {
  const path = pathOf(kind, name);
  const before = stored(await client.request({ method: "GET", path }));
  return stored(
    await client.request({ method: "PUT", path: `${path}/status`, query: strict, body: { ...before, status } }),
  );
}

function stored(raw: unknown): StoredObject {
  return raw as StoredObject;
}
