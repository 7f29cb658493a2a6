import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";

const directory = fileURLToPath(new URL("../../deploy/", import.meta.url));
const rule = z.object({ apiGroups: z.array(z.string()), resources: z.array(z.string()), verbs: z.array(z.string()) });
const role = z.object({
  kind: z.enum(["Role", "ClusterRole"]),
  metadata: z.object({ name: z.string() }),
  rules: z.array(rule),
});

function documents(file: string): unknown[] {
  return parseAllDocuments(readFileSync(`${directory}${file}`, "utf8")).map((document): unknown => document.toJS());
}

const manifests = readdirSync(directory).filter((file) => file.endsWith(".yaml") && file !== "kustomization.yaml");
const roles = manifests.flatMap(documents).flatMap((document) => {
  const parsed = role.safeParse(document);
  return parsed.success ? [parsed.data] : [];
});

/** "verb resource" for everything that the roles of one name grant. */
function granted(name: string): string[] {
  return roles
    .filter(({ metadata }) => metadata.name === name)
    .flatMap(({ rules }) =>
      rules.flatMap(({ resources, verbs }) => resources.flatMap((r) => verbs.map((verb) => `${verb} ${r}`))),
    );
}

describe("the shipped RBAC", () => {
  test("grants nothing by wildcard, and no secrets", () => {
    expect(roles.map(({ metadata }) => metadata.name).sort()).toEqual([
      "domain-snapshot-agent",
      "domain-snapshot-agent",
      "domain-snapshot-operator",
      "domain-snapshot-operator",
    ]);
    for (const { rules } of roles) {
      const words = rules.flatMap(({ apiGroups, resources, verbs }) => [...apiGroups, ...resources, ...verbs]);
      expect(words).not.toContain("*");
      expect(words).not.toContain("secrets");
    }
  });

  test("lets agents report on Contents but neither make nor change them, nor touch requests", () => {
    const agent = granted("domain-snapshot-agent");
    expect(agent).toContain("patch domainsnapshotcontents/status");
    for (const verb of ["create", "update", "patch", "delete"])
      expect(agent).not.toContain(`${verb} domainsnapshotcontents`);
    expect(agent.filter((grant) => / domainsnapshots(\/|$)/.test(grant))).toEqual([]);
  });

  test("lets the operator plan and show, but not write what agents report", () => {
    const operator = granted("domain-snapshot-operator");
    expect(operator).toContain("create domainsnapshotcontents");
    expect(operator).not.toContain("patch domainsnapshotcontents/status");
    expect(operator).not.toContain("create domains");
  });

  test("every manifest is part of the kustomization", () => {
    const [kustomization] = documents("kustomization.yaml");
    const { resources } = z.object({ resources: z.array(z.string()) }).parse(kustomization);
    expect([...resources].sort()).toEqual([...manifests].sort());
  });
});
