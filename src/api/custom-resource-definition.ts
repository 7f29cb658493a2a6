// Builds a CustomResourceDefinition from a zod schema and what is not schema: names, columns, selectable fields.

import type { z } from "zod";
import { type StructuralSchema, structuralSchema } from "./structural-schema.ts";
import type { Resource } from "./v1alpha1/group.ts";

export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "date" | "boolean";
  readonly jsonPath: string;
  readonly description: string;
  /** 1: only with `-o wide`. */
  readonly priority?: 0 | 1;
}

/** A kind of the API with everything that its CRD needs. */
export interface CustomResource {
  readonly resource: Resource;
  readonly description: string;
  /** The whole object: `spec`, `status` and root-level rules are taken from it. */
  readonly schema: z.ZodObject;
  readonly shortNames: readonly string[];
  readonly columns: readonly PrinterColumn[];
  /** Field selectors that lists and watches may use, beyond metadata. */
  readonly selectableFields: readonly string[];
}

const categories = ["vm"];

/** The columns in their order, the wide ones last. */
export function buildDefinition(custom: CustomResource): object {
  const { group, version, kind, plural, namespaced } = custom.resource;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: namespaced ? "Namespaced" : "Cluster",
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [...custom.shortNames],
        categories,
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: custom.columns.map((column) => ({ ...column })),
          selectableFields: custom.selectableFields.map((jsonPath) => ({ jsonPath })),
          schema: { openAPIV3Schema: rootSchema(custom) },
        },
      ],
    },
  };
}

/** The root as Kubernetes wants it: type and object metadata are the server's business, `spec` is required. */
export function rootSchema(custom: CustomResource): StructuralSchema {
  const { kind } = custom.resource;
  const { spec, status } = custom.schema.shape;
  const rules = custom.schema.meta()?.["x-kubernetes-validations"];
  return {
    description: custom.description,
    type: "object",
    ...(rules === undefined ? {} : { "x-kubernetes-validations": [...rules] }),
    required: ["spec"],
    properties: {
      apiVersion: { type: "string", description: "Group and version of this object." },
      kind: { type: "string", description: `${kind}.` },
      metadata: { type: "object" },
      spec: structuralSchema(asType(spec, kind), `${kind}.spec`),
      status: structuralSchema(asType(status, kind), `${kind}.status`),
    },
  };
}

function asType(schema: z.core.$ZodType | undefined, kind: string): z.ZodType {
  if (schema === undefined || !("meta" in schema)) throw new Error(`${kind}: spec and status are needed`);
  return schema as z.ZodType;
}
