import { describe, expect, it } from "vitest";
import { z } from "zod";
import { structuralSchema } from "./structural-schema.ts";

const field = (schema: z.ZodType) => z.object({ field: schema }).meta({ description: "An object." });
const convert = (schema: z.ZodType) => structuralSchema(field(schema), "spec").properties?.["field"];
const description = "A field.";

describe("structuralSchema", () => {
  it("keeps the format of a time and drops zod's pattern", () => {
    expect(convert(z.iso.datetime().meta({ description }))).toEqual({
      type: "string",
      format: "date-time",
      description,
    });
  });

  it("gives integers a format and drops the bounds of a double", () => {
    expect(convert(z.int().meta({ description }))).toEqual({ type: "integer", format: "int64", description });
    const small = z.int().min(0).max(10).meta({ description });
    expect(convert(small)).toEqual({ type: "integer", format: "int32", minimum: 0, maximum: 10, description });
  });

  it("keeps fields with a default optional", () => {
    const schema = z.object({ a: z.boolean().default(true).meta({ description }) }).meta({ description });
    expect(structuralSchema(schema, "spec")).not.toHaveProperty("required");
  });

  it("copies list types and rules", () => {
    const meta = {
      description,
      "x-kubernetes-list-type": "set" as const,
      "x-kubernetes-validations": [{ rule: "true" }],
    };
    const list = z.array(z.string().max(1).meta({ description })).max(2).meta(meta);
    expect(convert(list)).toMatchObject({
      "x-kubernetes-list-type": "set",
      "x-kubernetes-validations": [{ rule: "true" }],
    });
  });

  it("lets a loose object keep unknown fields", () => {
    const loose = z.looseObject({}).meta({ description });
    expect(convert(loose)).toMatchObject({ type: "object", "x-kubernetes-preserve-unknown-fields": true });
  });

  it("writes int-or-string as Kubernetes does", () => {
    const either = z.union([z.int(), z.string()]).meta({ description, "x-kubernetes-int-or-string": true });
    expect(convert(either)).toEqual({ description, "x-kubernetes-int-or-string": true });
  });

  it("bounds an enum by its longest value", () => {
    expect(convert(z.enum(["a", "abc"]).meta({ description }))).toMatchObject({ enum: ["a", "abc"], maxLength: 3 });
  });

  const refusals: readonly (readonly [string, z.ZodType, string])[] = [
    ["a union", z.union([z.string().max(1), z.boolean()]).meta({ description }), "spec.field: anyOf is not structural"],
    ["a field without description", z.boolean(), "spec.field: a field needs a description"],
    ["an unbounded string", z.string().meta({ description }), "spec.field: a string needs maxLength"],
    [
      "an unbounded list",
      z.array(z.boolean().meta({ description })).meta({ description }),
      "spec.field: a list needs maxItems",
    ],
    [
      "lookaround",
      z
        .string()
        .max(9)
        .regex(/^(?!a)b/)
        .meta({ description }),
      "uses what RE2 does not know",
    ],
    [
      "a back reference",
      z
        .string()
        .max(9)
        .regex(/^(a)\1$/)
        .meta({ description }),
      "uses what RE2 does not know",
    ],
    ["a field of any type", z.unknown().meta({ description }), "spec.field: a structural schema needs a type"],
    [
      "a map with checked keys",
      z.record(z.string(), z.boolean().meta({ description })).meta({ description }),
      "spec.field",
    ],
  ];

  it.each(refusals)("refuses %s and names it", (_, schema, message) => {
    expect(() => convert(schema)).toThrow(message);
  });
});
