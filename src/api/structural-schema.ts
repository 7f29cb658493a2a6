// Turns a zod schema into the structural OpenAPI v3 schema that a CRD may carry, and refuses what Kubernetes would.

import { z } from "zod";
import type { ValidationRule } from "./kubernetes-extensions.ts";

/** The part of JSONSchemaProps that this project produces. */
export interface StructuralSchema {
  type?: string;
  description?: string;
  format?: string;
  default?: unknown;
  enum?: unknown[];
  nullable?: boolean;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  required?: string[];
  properties?: Record<string, StructuralSchema>;
  items?: StructuralSchema;
  additionalProperties?: StructuralSchema;
  "x-kubernetes-validations"?: ValidationRule[];
  "x-kubernetes-list-type"?: string;
  "x-kubernetes-list-map-keys"?: string[];
  "x-kubernetes-map-type"?: string;
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-preserve-unknown-fields"?: true;
}

type JsonSchema = Readonly<Record<string, unknown>>;

/** Keys that pass unchanged. Whatever is not here nor handled below is refused, so that nothing is lost in silence. */
const copiedKeys = new Set([
  ...["type", "description", "format", "default", "enum", "nullable", "pattern", "required"],
  ...["minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "maxProperties"],
  ...["x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"],
]);

const refusedKeys = new Set(["anyOf", "oneOf", "allOf", "not", "const", "$ref", "propertyNames", "patternProperties"]);

/** Lookaround and back references, which the server's RE2 does not know. */
const notRe2 = /\(\?(?:[=!]|<[=!])|\\[1-9]/;

/** Throws an Error naming the field when the schema cannot be structural. */
export function structuralSchema(schema: z.ZodType, root: string): StructuralSchema {
  const json: unknown = z.toJSONSchema(schema, {
    target: "openapi-3.0",
    io: "input",
    reused: "inline",
    cycles: "throw",
    unrepresentable: "throw",
  });
  return convert(asObject(json, root), root);
}

function convert(json: JsonSchema, path: string): StructuralSchema {
  if (json["x-kubernetes-int-or-string"] === true) {
    return { description: requiredDescription(json, path), "x-kubernetes-int-or-string": true };
  }
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(json)) {
    if (refusedKeys.has(key)) throw new Error(`${path}: ${key} is not structural; use one optional field per variant`);
    if (copiedKeys.has(key)) out[key] = value;
    else if (key === "minimum" || key === "maximum") {
      if (Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER) out[key] = value;
    } else if (key === "properties") out[key] = convertProperties(asObject(value, path), path);
    else if (key === "items") out[key] = convert(asObject(value, path), `${path}[]`);
    else if (key === "additionalProperties") Object.assign(out, convertAdditional(value, path));
    else throw new Error(`${path}: the schema key ${key} is not known to the structural pass`);
  }
  const result: StructuralSchema = out;
  result.description = requiredDescription(json, path);
  return checkType(result, path);
}

function convertProperties(properties: JsonSchema, path: string): Record<string, StructuralSchema> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, convert(asObject(value, path), `${path}.${name}`)]),
  );
}

/** A loose object keeps what it does not know; `false` is how Kubernetes prunes anyway. */
function convertAdditional(value: unknown, path: string): StructuralSchema {
  if (value === false) return {};
  const schema = asObject(value, path);
  if (Object.keys(schema).length === 0) return { "x-kubernetes-preserve-unknown-fields": true };
  return { additionalProperties: convert(schema, `${path}{}`) };
}

/** Bounds are demanded everywhere: rules at the root reach everything, and their cost is estimated from the bounds. */
function checkType(schema: StructuralSchema, path: string): StructuralSchema {
  switch (schema.type) {
    case "string":
      return checkString(schema, path);
    case "integer":
      schema.format ??= schema.maximum !== undefined && schema.maximum < 2 ** 31 ? "int32" : "int64";
      return schema;
    case "array":
      if (schema.maxItems === undefined) throw new Error(`${path}: a list needs maxItems (CEL cost)`);
      return schema;
    case "object":
      if (schema.additionalProperties !== undefined && schema.maxProperties === undefined) {
        throw new Error(`${path}: a map needs maxProperties (CEL cost)`);
      }
      return schema;
    case "boolean":
    case "number":
      return schema;
    default:
      throw new Error(`${path}: a structural schema needs a type`);
  }
}

function checkString(schema: StructuralSchema, path: string): StructuralSchema {
  if (schema.format === "date-time") {
    // zod's pattern is long, and the server checks the format itself.
    delete schema.pattern;
    return schema;
  }
  if (schema.pattern !== undefined && notRe2.test(schema.pattern)) {
    throw new Error(`${path}: the pattern ${schema.pattern} uses what RE2 does not know`);
  }
  // The cost estimate does not look at enum: its longest value is told as a bound.
  if (schema.enum !== undefined) schema.maxLength = Math.max(...schema.enum.map((value) => String(value).length));
  if (schema.maxLength === undefined) throw new Error(`${path}: a string needs maxLength (CEL cost)`);
  return schema;
}

function requiredDescription(json: JsonSchema, path: string): string {
  const description = json["description"];
  if (typeof description !== "string" || description === "") throw new Error(`${path}: a field needs a description`);
  return description;
}

function asObject(value: unknown, path: string): JsonSchema {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${path}: not a schema`);
  return Object.fromEntries(Object.entries(value));
}
