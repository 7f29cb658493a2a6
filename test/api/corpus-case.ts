// The form of the corpus files, and the objects that a case stands for.

import { readdirSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";

const fields = z.record(z.string(), z.unknown());

const corpusCase = z.strictObject({
  name: z.string(),
  /** A create: the spec on top of the file's base; null removes a field of the base. */
  spec: fields.optional(),
  /** An update: what exists before, its status, and the new spec or the new status. */
  before: fields.optional(),
  status: fields.optional(),
  after: fields.optional(),
  /** A status that the write of `after` carries along, which the server must ignore. */
  claimedStatus: fields.optional(),
  statusAfter: fields.optional(),
  /** Parts of messages; every cause of the refusal must match one, and each must be matched. */
  refused: z.array(z.string()).optional(),
  /** Fields of the spec as the server returns them. */
  becomes: fields.optional(),
  /** Fields of the spec that the server must not invent. */
  lacks: z.array(z.string()).optional(),
  metadataName: z.string().optional(),
  /** What would be too long to write out. */
  nameLength: z.int().optional(),
  manyDisks: z.int().optional(),
  longFile: z.int().optional(),
});

const corpusFile = z.strictObject({
  kind: z.enum(["Domain", "DomainSnapshot", "DomainSnapshotContent"]),
  base: fields,
  cases: z.array(corpusCase).min(1),
});

export type CorpusCase = z.output<typeof corpusCase> & {
  readonly kind: z.output<typeof corpusFile>["kind"];
  readonly base: Readonly<Record<string, unknown>>;
};

/** Every case of every file, by file. */
export function readCorpus(): { readonly file: string; readonly cases: CorpusCase[] }[] {
  const directory = new URL("corpus/", import.meta.url);
  return readdirSync(directory)
    .toSorted()
    .map((file) => {
      const { kind, base, cases } = corpusFile.parse(parse(readFileSync(new URL(file, directory), "utf8")));
      return { file, cases: cases.map((each) => ({ ...each, kind, base })) };
    });
}

/** The spec of a create, or of one side of an update. */
export function specOf(test: CorpusCase, overlay: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const merged = Object.fromEntries(Object.entries({ ...test.base, ...overlay }).filter(([, value]) => value !== null));
  if (test.manyDisks !== undefined) {
    merged["disks"] = Array.from({ length: test.manyDisks }, (_, index) => ({
      name: `disk-${String(index).padStart(58, "0")}`,
      snapshot: "external",
      driver: { type: "qcow2" },
      source: { file: `${"d/".repeat(500)}overlay-${index}.qcow2` },
    }));
  }
  if (test.longFile !== undefined) merged["memory"] = { snapshot: "external", file: "f".repeat(test.longFile) };
  return merged;
}
