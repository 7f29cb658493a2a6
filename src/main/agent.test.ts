import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";

/** Every package and file that loading `entry` loads: static imports only, types left out. */
async function loaded(entry: URL, seen = new Set<string>()): Promise<Set<string>> {
  if (seen.has(entry.href)) return seen;
  seen.add(entry.href);
  const text = await readFile(entry, "utf8");
  for (const [, name = ""] of text.matchAll(/^(?:import|export) (?!type )[^;]*?"([^"]+)";/gm)) {
    if (name.startsWith(".")) await loaded(new URL(name, entry), seen);
    else seen.add(name);
  }
  return seen;
}

describe("the agent's process", () => {
  test("does not load client-node, which costs 80 MB, unless a kubeconfig is named", async () => {
    const modules = await loaded(new URL("./agent.ts", import.meta.url));
    expect(modules).toContain("undici");
    expect([...modules].filter((name) => name.includes("client-node") || name.endsWith("/kube-config.ts"))).toEqual([]);
  });
});
