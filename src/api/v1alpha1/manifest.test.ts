import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Failure } from "../../runtime/failure.ts";
import { domainSnapshot } from "./domain-snapshot.ts";
import { parseManifest } from "./manifest.ts";
import { parserFor } from "./parse.ts";

const manifest = (spec: string, name = "x") => `
apiVersion: domainsnapshot.io/v1alpha1
kind: DomainSnapshot
metadata: {name: ${name}}
spec: ${spec}
`;

const read = (text: string) => parseManifest(text, { source: "snap.yaml" });

describe("parseManifest", () => {
  it("fills the defaults of the schema", () => {
    const { spec } = read(manifest("{domainRef: {name: demo}, hold: {}}"));
    expect(spec).toMatchObject({ capture: "paused", quiesce: "Never", deletionPolicy: "Retain" });
    expect(spec.hold).toEqual({ timeoutSeconds: 600, onTimeout: "Resume" });
    expect(spec.resume).toBeUndefined();
  });

  it("reads JSON as well, and the shipped samples", () => {
    const json = {
      apiVersion: "domainsnapshot.io/v1alpha1",
      kind: "DomainSnapshot",
      metadata: { name: "x" },
      spec: { domainRef: { name: "demo" } },
    };
    expect(read(JSON.stringify(json)).spec.domainRef.name).toBe("demo");
    for (const sample of ["domainsnapshot.yaml", "domainsnapshot-live.yaml"]) {
      const text = readFileSync(new URL(`../../../deploy/samples/${sample}`, import.meta.url), "utf8");
      expect(read(text).spec.domainRef.name).toBe("demo");
    }
  });

  it("takes a quoted no as libvirt's word for none", () => {
    const { spec } = read(manifest('{domainRef: {name: demo}, disks: [{name: vda, snapshot: "no"}]}'));
    expect(spec.disks).toEqual([{ name: "vda", snapshot: "no" }]);
  });

  const refusals: readonly (readonly [string, string, string])[] = [
    [
      "a bare no",
      manifest("{domainRef: {name: demo}, disks: [{name: vda, snapshot: no}]}"),
      'spec.disks[0].snapshot: YAML reads a bare no as the boolean false; quote it ("no"), or write none',
    ],
    ["a bare yes as text", manifest("{domainRef: {name: demo}, description: yes}"), "quote the text"],
    [
      "an unknown field",
      manifest("{domainRef: {name: demo}, memory: {snapshot: external, fil: a}}"),
      "unknown field spec.memory.fil",
    ],
    [
      "an unknown field of a disk",
      manifest("{domainRef: {name: demo}, disks: [{name: vda, mode: manual}]}"),
      "unknown field spec.disks[0].mode",
    ],
    ["an unknown field at the top", `${manifest("{domainRef: {name: demo}}")}memory: {}\n`, "unknown field memory"],
    [
      "internal memory",
      manifest("{domainRef: {name: demo}, memory: {snapshot: internal}}"),
      'spec.memory.snapshot: "internal" is not one of external, none',
    ],
    ["a missing domain", manifest("{}"), "spec.domainRef: is required"],
    [
      "a disk that is listed twice",
      manifest("{domainRef: {name: demo}, disks: [{name: vda}, {name: vda}]}"),
      "spec.disks[1]: vda is listed twice",
    ],
    [
      "a name that is no file name",
      manifest("{domainRef: {name: demo}}", "../x"),
      'metadata.name: "../x" must be lower case',
    ],
    ["another kind", "apiVersion: v1\nkind: Pod\n", "expected domainsnapshot.io/v1alpha1 DomainSnapshot, found v1 Pod"],
    ["two objects", `${manifest("{}")}---${manifest("{}")}`, "exactly one DomainSnapshot"],
    ["an empty file", "# nothing\n", "empty; a DomainSnapshot is needed"],
    ["what is no YAML", "a: [", "snap.yaml: "],
    ["a scalar", "hello", "not a Kubernetes object"],
  ];

  it.each(refusals)("refuses %s and names the field", (_, text, message) => {
    const attempt = () => read(text);
    expect(attempt).toThrow(Failure);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow("snap.yaml: ");
  });
});

describe("parserFor", () => {
  const parse = parserFor(domainSnapshot);

  it("names the object and every wrong field", () => {
    const raw = {
      kind: "DomainSnapshot",
      apiVersion: "v",
      metadata: { name: "a", namespace: "shop" },
      spec: { domainRef: { name: 1 }, capture: "fast" },
    };
    expect(() => parse(raw)).toThrow(
      /^DomainSnapshot shop\/a: spec\.domainRef\.name: .*; spec\.capture: "fast" is not one of paused, live, background$/,
    );
  });

  it("leaves out fields that it does not know", () => {
    const raw = {
      kind: "DomainSnapshot",
      apiVersion: "v",
      metadata: { name: "a" },
      spec: { domainRef: { name: "b" }, future: 1 },
    };
    expect(parse(raw).spec).not.toHaveProperty("future");
  });
});
