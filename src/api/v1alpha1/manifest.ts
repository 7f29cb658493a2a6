// Reads a DomainSnapshot from a YAML or JSON manifest without an API server, as strictly as kubectl with one.

import { type Document, parseAllDocuments, visit } from "yaml";
import { Failure } from "../../runtime/failure.ts";
import { type StructuralSchema, structuralSchema } from "../structural-schema.ts";
import { type DomainSnapshot, domainSnapshot, domainSnapshotSpec } from "./domain-snapshot.ts";
import { maximumNameLength } from "./domain-snapshot-rules.ts";
import { objectName } from "./fields.ts";
import { apiVersion } from "./group.ts";
import { describeObject, parseObject } from "./parse.ts";

/** kubectl reads YAML 1.1, in which these plain words are booleans; the `yaml` package reads 1.2, where they are text. */
const yes = /^(?:yes|Yes|YES|on|On|ON)$/;
const no = /^(?:no|No|NO|off|Off|OFF)$/;

/** Throws a Failure `InvalidSpec` that names `source` and the field. Rules across fields are the planner's. */
export function parseManifest(text: string, options: { source: string }): DomainSnapshot {
  try {
    return parseSnapshot(readSingle(text));
  } catch (error) {
    const failure = Failure.from(error, "InvalidSpec");
    throw new Failure("InvalidSpec", `${options.source}: ${failure.message}`, { cause: error });
  }
}

function parseSnapshot(raw: unknown): DomainSnapshot {
  if (!isRecord(raw))
    throw new Failure("InvalidSpec", "not a Kubernetes object; apiVersion, kind, metadata and spec are needed");
  if (raw["kind"] !== "DomainSnapshot" || raw["apiVersion"] !== apiVersion) {
    const found = `${textOr(raw["apiVersion"], "no apiVersion")} ${textOr(raw["kind"], "no kind")}`;
    throw new Failure("InvalidSpec", `expected ${apiVersion} DomainSnapshot, found ${found}`);
  }
  const unknown = [
    ...Object.keys(raw).filter((key) => !["apiVersion", "kind", "metadata", "spec", "status"].includes(key)),
    ...unknownFields(raw["spec"], structuralSchema(domainSnapshotSpec, "spec"), "spec"),
  ];
  if (unknown.length > 0)
    throw new Failure("InvalidSpec", `${describeObject(raw)}: unknown field ${unknown.join(", ")}`);
  const snapshot = parseObject(domainSnapshot, raw);
  checkName(snapshot.metadata.name);
  checkDuplicates(snapshot);
  return snapshot;
}

/** The same demands as the API server's, plus the CRD's bound on the length. */
function checkName(name: string): void {
  if (objectName("").safeParse(name).success && name.length <= maximumNameLength) return;
  const demand = `lower case letters, digits, - and ., at most ${maximumNameLength} characters`;
  throw new Failure(
    "InvalidSpec",
    `metadata.name: ${JSON.stringify(name)} must be ${demand}, as it becomes part of file names`,
  );
}

function checkDuplicates(snapshot: DomainSnapshot): void {
  const seen = new Set<string>();
  for (const [index, disk] of (snapshot.spec.disks ?? []).entries()) {
    if (seen.has(disk.name))
      throw new Failure("InvalidSpec", `spec.disks[${index}]: ${disk.name} is listed twice; keep one`);
    seen.add(disk.name);
  }
}

function readSingle(text: string): unknown {
  const documents = [...parseAllDocuments(text, { merge: true })].filter((document) => document.contents !== null);
  const [document, second] = documents;
  if (document === undefined) throw new Failure("InvalidSpec", "empty; a DomainSnapshot is needed");
  if (second !== undefined)
    throw new Failure("InvalidSpec", "holds several objects; exactly one DomainSnapshot is needed");
  const [problem] = document.errors;
  if (problem !== undefined) throw new Failure("InvalidSpec", problem.message.split("\n", 1)[0] ?? "not YAML");
  return withYaml11Booleans(document).toJS();
}

function withYaml11Booleans<D extends Document.Parsed>(document: D): D {
  visit(document, {
    Scalar: (key, node) => {
      if (key === "key" || node.type !== "PLAIN" || typeof node.value !== "string") return undefined;
      if (no.test(node.value)) node.value = false;
      else if (yes.test(node.value)) node.value = true;
      return undefined;
    },
  });
  return document;
}

/** Paths of fields that the schema does not know. */
function unknownFields(value: unknown, schema: StructuralSchema, path: string): string[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined
      ? []
      : value.flatMap((item: unknown, index) => unknownFields(item, items, `${path}[${index}]`));
  }
  if (!isRecord(value) || schema.properties === undefined) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const known = schema.properties?.[name];
    return known === undefined ? [`${path}.${name}`] : unknownFields(inner, known, `${path}.${name}`);
  });
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
