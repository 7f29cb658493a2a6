// Objects as JSON and YAML.

import { expect, test } from "vitest";
import { parse } from "yaml";
import { objectOutput } from "./object-output.ts";

const object = {
  apiVersion: "domainsnapshot.io/v1alpha1",
  kind: "DomainSnapshot",
  metadata: { name: "nightly", managedFields: [{ manager: "dsnap" }], labels: undefined },
  spec: { disks: [{ name: "vda", snapshot: "no" }], resume: false, description: "" },
};
const clean = {
  apiVersion: "domainsnapshot.io/v1alpha1",
  kind: "DomainSnapshot",
  metadata: { name: "nightly" },
  spec: { disks: [{ name: "vda", snapshot: "no" }], resume: false, description: "" },
};

test("JSON is indented as kubectl's, in the order of the object, without managedFields", () => {
  expect(objectOutput(object, "json")).toBe(JSON.stringify(clean, null, 2));
});

test("YAML says the same, and ends without an empty line", () => {
  const text = objectOutput(object, "yaml");
  expect(parse(text)).toEqual(clean);
  expect(text).toMatch(
    /^apiVersion: domainsnapshot\.io\/v1alpha1\nkind: DomainSnapshot\nmetadata:\n {2}name: nightly\n/,
  );
  expect(text).not.toMatch(/\n$/);
});

test.each(["json", "yaml"] as const)("in a list of %s every item is cleaned", (format) => {
  const text = objectOutput({ apiVersion: "v1", kind: "List", items: [object, object] }, format);
  expect(parse(text)).toEqual({ apiVersion: "v1", kind: "List", items: [clean, clean] });
});

test("YAML does not fold long lines: a message stays one that can be searched for", () => {
  const message = "the guest is paused and waits for the storage's owner ".repeat(10).trim();
  expect(objectOutput({ message }, "yaml")).toBe(`message: ${message}`);
});

test.each(["no", "on", "y", "2026-01-01T00:00:00Z", "012", "1:30"])(
  "%j comes back as that text from readers of YAML 1.1, such as kubectl",
  (word) => {
    expect(parse(objectOutput({ word }, "yaml"), { version: "1.1" })).toEqual({ word });
  },
);

test("of a disk, what was printed can be applied again", () => {
  const text = objectOutput({ disks: [{ name: "vda", snapshot: "no" }] }, "yaml");
  expect(text).toBe('disks:\n  - name: vda\n    snapshot: "no"');
});

test("the object that was given keeps its fields", () => {
  const before = structuredClone(object);
  objectOutput(object, "yaml");
  expect(object).toEqual(before);
});
