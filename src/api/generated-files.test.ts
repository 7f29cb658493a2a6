import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generatedFiles } from "./generated-files.ts";

describe("generated files", () => {
  it.each(generatedFiles())("$path is what the schemas generate (npm run generate)", ({ path, text }) => {
    expect(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")).toBe(text);
  });
});
