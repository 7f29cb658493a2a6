// The agent's configuration file: which guests are on this node, what may be written where. Errors name the field.

import { readFile } from "node:fs/promises";
import { isAbsolute, normalize } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { diskName, objectName, resolvedMode, uuidField } from "../api/v1alpha1/fields.ts";
import { Failure } from "../runtime/failure.ts";

const absolutePath = z
  .string()
  .max(4096)
  .refine((path) => isAbsolute(path), { message: "must be an absolute path", abort: true })
  .refine((path) => normalize(path) === path && (path === "/" || !path.endsWith("/")), {
    message: "must be a plain path without '..', '.', '//' or a slash at its end",
  });

const disk = z
  .strictObject({
    name: diskName,
    qdev: z.string().min(1).optional(),
    node: z.string().min(1).optional(),
    serial: z.string().min(1).optional(),
    defaultSnapshot: resolvedMode.optional(),
    persistentVolumeClaimName: objectName("The claim the disk lies on.").optional(),
  })
  .refine((named) => [named.qdev, named.node, named.serial].filter((by) => by !== undefined).length <= 1, {
    message: "takes at most one of qdev, node and serial",
  });

const disks = z
  .array(disk)
  .max(64)
  .refine((list) => new Set(list.map((named) => named.name)).size === list.length, { message: "names a disk twice" });

const command = z
  .array(z.string().min(1))
  .min(1)
  .refine((argv) => isAbsolute(argv[0] ?? ""), { message: "must begin with the absolute path of a program" });

/** What every guest takes, whether it is listed or discovered. */
const guestFields = {
  monitor: z.enum(["dedicated", "shared"]).default("dedicated"),
  disks: disks.default([]),
  diskChangeCommand: command.optional(),
  guestAgent: absolutePath.optional(),
  pauseTimeoutSeconds: z.int().min(1).max(86400).optional(),
};

const listedDomain = z.strictObject({
  namespace: objectName("Namespace of the Domain."),
  name: objectName("Name of the Domain."),
  socket: absolutePath,
  uuid: uuidField("UUID the guest must have.").optional(),
  snapshotDirectory: absolutePath,
  allowedDirectories: z.array(absolutePath).default([]),
  ...guestFields,
});

const template = (message: string) => z.string().refine((text) => text.split("{name}").length === 2, { message });

const discovery = z.strictObject({
  directory: absolutePath,
  namespace: objectName("Namespace of the Domains."),
  pattern: template("must hold {name} once, as in {name}.qmp").refine((text) => !text.includes("/"), {
    message: "is a file name, not a path",
  }),
  snapshotDirectory: template("must hold {name} once, so that guests do not share a directory").pipe(absolutePath),
  allowedDirectories: z.array(absolutePath).default([]),
  ...guestFields,
});

const configurationFile = z
  .strictObject({
    nodeName: objectName("This node.").optional(),
    systemNamespace: objectName("Namespace of the operator; holds the agents' Leases.").optional(),
    stateDirectory: absolutePath.default("/var/lib/domain-snapshot"),
    maximumHoldSeconds: z.int().min(1).max(604800).default(86400),
    releaseOnShutdown: z.boolean().default(false),
    domains: z.array(listedDomain).default([]),
    discover: z.array(discovery).default([]),
  })
  .check((context) => {
    const seen = new Map<string, string>();
    context.value.domains.forEach((domain, index) => {
      for (const [what, value] of [
        ["name", `${domain.namespace}/${domain.name}`],
        ["socket", domain.socket],
      ] as const) {
        const first = seen.get(`${what} ${value}`);
        if (first === undefined) seen.set(`${what} ${value}`, `domains[${index}]`);
        else {
          context.issues.push({
            code: "custom",
            input: value,
            path: ["domains", index, what],
            message: `${value} is already used by ${first}`,
          });
        }
      }
    });
  });

/** The whole file, defaults filled in. */
export type AgentConfiguration = z.output<typeof configurationFile>;
/** One guest: where its monitor is and where its files may lie. */
export type DomainConfiguration = z.output<typeof listedDomain>;
/** A directory in which sockets appear and vanish with their guests. */
export type DiscoveryConfiguration = z.output<typeof discovery>;

/** Parses the text of a configuration file; `path` only serves the message. Throws Failure InvalidConfiguration. */
export function parseConfiguration(text: string, path: string): AgentConfiguration {
  const document = parseDocument(text);
  const syntax = document.errors[0];
  if (syntax !== undefined) throw new Failure("InvalidConfiguration", `${path}: ${syntax.message}`);
  const result = configurationFile.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${fieldName(issue.path)}: ${issue.message}`);
  throw new Failure("InvalidConfiguration", `${path} is not a valid agent configuration:\n${lines.join("\n")}`);
}

/** Reads and parses the configuration file. */
export async function readConfiguration(path: string): Promise<AgentConfiguration> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new Failure("InvalidConfiguration", `cannot read the configuration: ${String(error)}`, { cause: error });
  }
  return parseConfiguration(text, path);
}

function fieldName(path: readonly PropertyKey[]): string {
  let name = "";
  for (const part of path) {
    if (typeof part === "number") name += `[${part}]`;
    else name += name === "" ? String(part) : `.${String(part)}`;
  }
  return name === "" ? "(file)" : name;
}
