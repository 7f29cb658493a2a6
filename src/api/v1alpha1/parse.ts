// Parses objects read from the API: a zod error becomes a Failure that names the object and every wrong field.

import type { z } from "zod";
import { Failure } from "../../runtime/failure.ts";

/** A parser for KubeClient.resource: what it lets through has the schema's type, with defaults filled. */
export function parserFor<S extends z.ZodObject>(schema: S): (raw: unknown) => z.output<S> {
  return (raw) => parseObject(schema, raw);
}

/** Throws a Failure `InvalidSpec`; unknown fields are left out, since a newer server may send them. */
export function parseObject<S extends z.ZodObject>(schema: S, raw: unknown): z.output<S> {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${fieldPath(issue.path)}: ${issueText(issue, raw)}`);
  throw new Failure("InvalidSpec", `${describeObject(raw)}: ${issues.join("; ")}`, { cause: result.error });
}

/** `spec.disks[1].name`, as the API server writes paths. */
export function fieldPath(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text === "" ? "the object" : text.replace(/^\./, "");
}

/** `DomainSnapshot shop/before-upgrade`, as far as it can be told. */
export function describeObject(raw: unknown): string {
  const metadata = member(raw, "metadata");
  const [kind, namespace, name] = [member(raw, "kind"), member(metadata, "namespace"), member(metadata, "name")];
  const where = [namespace, name].filter((part) => typeof part === "string").join("/");
  return [typeof kind === "string" ? kind : "object", where].filter((part) => part !== "").join(" ");
}

function issueText(issue: z.core.$ZodIssue, raw: unknown): string {
  const value = issue.path.reduce(member, raw);
  if (value === undefined) return "is required";
  if (value === false && issue.path.at(-1) === "snapshot") {
    return 'YAML reads a bare no as the boolean false; quote it ("no"), or write none';
  }
  if (typeof value === "boolean") return `${issue.message}; YAML reads yes, no, on and off as booleans: quote the text`;
  if (issue.code === "invalid_value") {
    return `${JSON.stringify(value)} is not one of ${issue.values.map((known) => String(known)).join(", ")}`;
  }
  return `${issue.message}, got ${JSON.stringify(value)?.slice(0, 200)}`;
}

function member(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return Reflect.get(value, key);
}
