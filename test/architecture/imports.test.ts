import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../../src", import.meta.url));

/** What each folder may import of the others; "folder/file.ts" allows one file. Itself is always allowed. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  runtime: [],
  api: ["runtime"],
  kube: ["runtime"],
  qmp: ["runtime"],
  qemu: ["runtime", "qmp"],
  snapshot: ["runtime", "qmp", "qemu"],
  operator: ["runtime", "api", "kube", "snapshot/plan.ts"],
  agent: ["runtime", "api", "kube", "qmp", "qemu", "snapshot"],
  cli: ["runtime", "api", "kube", "qemu", "snapshot"],
  main: ["runtime", "api", "kube", "qmp", "qemu", "snapshot", "operator", "agent", "cli"],
};

/** Packages that only one folder may use. */
const packageOwners: Readonly<Record<string, readonly string[]>> = {
  "@kubernetes/client-node": ["kube"],
  undici: ["kube"],
  pino: ["runtime"],
  commander: ["cli", "main"],
  "fast-xml-parser": ["snapshot"],
};

interface SourceFile {
  /** Relative to src. */
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const files: readonly SourceFile[] = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => {
    const text = readFileSync(join(source, path), "utf8");
    const statements = text.matchAll(
      /^(?:import|export)\b[^;]*?from\s+"([^"]+)"|\bimport\(\s*"([^"]+)"|^import\s+"([^"]+)"/gm,
    );
    const imports = [...statements].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
    return { path, folder: path.split("/")[0] ?? "", text, imports };
  });

const production = files.filter(({ path }) => !path.endsWith(".test.ts") && !path.includes("/testing/"));

/** The imported file relative to src, or undefined for a package. */
function target(file: SourceFile, specifier: string): string | undefined {
  return specifier.startsWith(".") ? relative(source, resolve(source, dirname(file.path), specifier)) : undefined;
}

test("folders import only the folders below them", () => {
  const wrong: string[] = [];
  for (const file of production) {
    const may = allowed[file.folder];
    if (may === undefined) wrong.push(`${file.path}: the folder ${file.folder} has no rule in this test`);
    for (const specifier of file.imports) {
      const path = target(file, specifier);
      const folder = path?.split("/")[0] ?? "";
      if (path === undefined || folder === file.folder) continue;
      if (may?.includes(folder) !== true && may?.includes(path) !== true) wrong.push(`${file.path} imports ${path}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("production code imports no test", () => {
  const wrong = production.flatMap((file) =>
    file.imports
      .map((specifier) => target(file, specifier))
      .filter(
        (path) =>
          path?.startsWith("..") === true ||
          path?.endsWith(".test.ts") === true ||
          path?.includes("/testing/") === true,
      )
      .map((path) => `${file.path} imports ${path}`),
  );
  expect(wrong).toEqual([]);
});

test("files do not import each other in a circle", () => {
  const graph = new Map<string, string[]>();
  for (const file of production) {
    // A type is gone at run time, so its import closes no circle.
    const values = file.text.replace(/^import type [^;]*;/gm, "");
    const imports = file.imports.filter((specifier) => values.includes(`"${specifier}"`));
    graph.set(
      file.path,
      imports.flatMap((specifier) => target(file, specifier) ?? []),
    );
  }
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    if (above.includes(path)) circles.push([...above.slice(above.indexOf(path)), path].join(" -> "));
    if (done.has(path) || above.includes(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...above, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  expect(circles).toEqual([]);
});

test("each package has the folder that owns it", () => {
  const wrong = production.flatMap((file) =>
    file.imports
      .filter((specifier) => packageOwners[specifier]?.includes(file.folder) === false)
      .map((specifier) => `${file.path} imports ${specifier}`),
  );
  expect(wrong).toEqual([]);
});

test("only the clock touches raw timers", () => {
  const raw = /\b(?:setTimeout|setInterval|Date\.now|performance\.now)\(|timers\/promises/;
  const wrong = production
    .filter((file) => file.path !== "runtime/clock.ts" && raw.test(file.text))
    .map(({ path }) => path);
  expect(wrong).toEqual([]);
});

test("the agent and the operator load no client-node unless they are given a kubeconfig", () => {
  const wrong = production
    .filter((file) => /^import (?!type)[^;]*"@kubernetes\/client-node"/m.test(file.text))
    .map(({ path }) => path);
  expect(wrong).toEqual([]);
});

test("no file is longer than 300 lines, and each opens with a word on its job", () => {
  const long = files.filter(({ text }) => text.split("\n").length > 301).map(({ path }) => `${path} is too long`);
  const silent = production
    .filter(({ text }) => !/^(?:#!.*\n)?(?:\/\/|\/\*\*)/.test(text))
    .map(({ path }) => `${path} has no header`);
  expect([...long, ...silent]).toEqual([]);
});

test("modules say what they offer: no barrels, no default exports", () => {
  const wrong = production.filter(({ text }) => /^export \* from|^export default/m.test(text)).map(({ path }) => path);
  expect(wrong).toEqual([]);
});
