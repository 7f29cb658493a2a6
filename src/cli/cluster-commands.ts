// The commands that talk to a cluster, as commander knows them: flags and wiring, no work.

import { Command, Option } from "commander";
import { systemClock as clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import { abortAll } from "./abort-all.ts";
import { type ClusterFlags, requireSnapshot, runOnCluster, withClusterFlags } from "./connect.ts";
import { createSnapshot, namespaceOf, readManifest } from "./create-snapshot.ts";
import { describeSnapshot } from "./describe-snapshot.ts";
import { parseDuration } from "./duration.ts";
import { exitCodes } from "./exit-codes.ts";
import { listTable } from "./list-table.ts";
import { objectOutput } from "./object-output.ts";
import { requestEnd } from "./request-end.ts";
import { processTerminal, type Terminal } from "./terminal.ts";
import { timelineLines } from "./timeline.ts";
import { waitForGoal } from "./wait-for-goal.ts";
import { parseWaitGoal } from "./wait-goal.ts";

/** All commands, for the program to register. Exit codes: 0 done; 1 failed or timed out; 2 bad input. */
export function clusterCommands(terminal: Terminal = processTerminal): Command[] {
  const commands = [
    listCommand(terminal),
    getCommand(terminal),
    timelineCommand(terminal),
    createCommand(terminal),
    resumeCommand(terminal),
    abortCommand(terminal),
    waitCommand(terminal),
  ];
  return commands.map(withClusterFlags);
}

function listCommand(terminal: Terminal): Command {
  type Flags = ClusterFlags & { allNamespaces?: boolean; output?: "wide" | "json" | "yaml" | "name" };
  return new Command("list")
    .alias("ls")
    .description("List DomainSnapshots")
    .option("-A, --all-namespaces", "of all namespaces")
    .addOption(new Option("-o, --output <format>", "output format").choices(["wide", "json", "yaml", "name"]))
    .action(async (flags: Flags) => {
      await runOnCluster(flags, terminal, async ({ snapshots, namespace }) => {
        const all = flags.allNamespaces === true;
        const found = await snapshots.list(all ? {} : { namespace });
        const { output } = flags;
        if (output === "json" || output === "yaml") {
          terminal.out(objectOutput({ apiVersion: "v1", kind: "List", items: found }, output));
        } else if (found.length === 0) {
          terminal.error(all ? "No resources found" : `No resources found in ${namespace} namespace.`);
        } else if (output === "name") {
          for (const { metadata } of found) terminal.out(`domainsnapshot.domainsnapshot.io/${metadata.name}`);
        } else {
          const shown = { wide: output === "wide", namespaces: all, nowMilliseconds: clock.now() };
          terminal.out(listTable(found, shown).join("\n"));
        }
        return exitCodes.completed;
      });
    });
}

function getCommand(terminal: Terminal): Command {
  return new Command("get")
    .argument("<name>")
    .description("Show one DomainSnapshot: timeline, disks, conditions, and what to do about an error")
    .addOption(new Option("-o, --output <format>", "output format").choices(["json", "yaml"]))
    .action(async (name: string, flags: ClusterFlags & { output?: "json" | "yaml" }) => {
      await runOnCluster(flags, terminal, async (cluster) => {
        const snapshot = await requireSnapshot(cluster, name);
        const { output } = flags;
        terminal.out(output === undefined ? describeSnapshot(snapshot).join("\n") : objectOutput(snapshot, output));
        return exitCodes.completed;
      });
    });
}

function timelineCommand(terminal: Terminal): Command {
  return new Command("timeline")
    .argument("<name>")
    .description("Draw when what happened, and of what the pause consists")
    .action(async (name: string, flags: ClusterFlags) => {
      await runOnCluster(flags, terminal, async (cluster) => {
        const lines = timelineLines((await requireSnapshot(cluster, name)).status ?? {});
        terminal.out(lines.length === 0 ? `${name} has not begun` : lines.join("\n"));
        return exitCodes.completed;
      });
    });
}

function createCommand(terminal: Terminal): Command {
  return new Command("create")
    .description("Create a DomainSnapshot from a manifest")
    .requiredOption("-f, --file <file>", "manifest, YAML or JSON (- for stdin)")
    .option("--wait", "wait until it is Completed or Failed")
    .option("--timeout <duration>", "how long --wait waits", "10m")
    .action(async (flags: ClusterFlags & { file: string; wait?: boolean; timeout: string }) => {
      await runOnCluster(flags, terminal, async (connected) => {
        const timeoutMilliseconds = parseDuration(flags.timeout);
        const manifest = await readManifest(flags.file);
        const cluster = { ...connected, namespace: namespaceOf(manifest, flags.namespace, connected.namespace) };
        const snapshot = await createSnapshot(cluster, manifest);
        terminal.out(`domainsnapshot.domainsnapshot.io/${snapshot.metadata.name} created`);
        if (flags.wait !== true) return exitCodes.completed;
        return await waitForGoal({
          cluster,
          terminal,
          snapshot,
          goal: parseWaitGoal("Completed"),
          timeoutMilliseconds,
        });
      });
    });
}

function resumeCommand(terminal: Terminal): Command {
  return new Command("resume")
    .argument("<name>")
    .description("Let the held guest run: the storage's owner has cut the disks")
    .action(async (name: string, flags: ClusterFlags) => {
      await runOnCluster(flags, terminal, (cluster) => requestEnd({ cluster, terminal, name, word: "resume" }));
    });
}

function abortCommand(terminal: Terminal): Command {
  type Flags = ClusterFlags & {
    all?: boolean;
    allNamespaces?: boolean;
    domain?: string;
    dryRun?: boolean;
    timeout: string;
  };
  return new Command("abort")
    .argument("[name]")
    .description("Give up: drop what was captured and let the guest run; --all before an uninstall")
    .option(
      "--all",
      "every DomainSnapshot under way in the namespace, and wait; exit code 0 only if every guest is released",
    )
    .option("-A, --all-namespaces", "with --all: in all namespaces")
    .option("--domain <name>", "with --all: only those of this Domain")
    .option("--dry-run", "with --all: only list them")
    .option("--timeout <duration>", "with --all: how long to wait for their ends", "2m")
    .action(async (name: string | undefined, flags: Flags) => {
      await runOnCluster(flags, terminal, async (cluster) => {
        const { all = false, allNamespaces = false, domain, dryRun = false } = flags;
        if ((name === undefined) !== all) {
          throw new Failure("InvalidSpec", "abort: give the name of one DomainSnapshot, or --all");
        }
        // Ignored, a --dry-run would abort.
        if (!all && (allNamespaces || domain !== undefined || dryRun)) {
          throw new Failure("InvalidSpec", "abort: --all-namespaces, --domain and --dry-run go with --all only");
        }
        if (name !== undefined) return await requestEnd({ cluster, terminal, name, word: "abort" });
        const timeoutMilliseconds = parseDuration(flags.timeout);
        return await abortAll({ cluster, terminal, allNamespaces, domain, dryRun, timeoutMilliseconds, clock });
      });
    });
}

function waitCommand(terminal: Terminal): Command {
  return new Command("wait")
    .argument("<name>")
    .description("Wait until a DomainSnapshot reaches a phase or condition; prints phases as they pass")
    .requiredOption("--for <goal>", "PHASE, condition=TYPE or condition=TYPE=STATUS")
    .option("--timeout <duration>", "how long to wait", "10m")
    .action(async (name: string, flags: ClusterFlags & { for: string; timeout: string }) => {
      await runOnCluster(flags, terminal, async (cluster) => {
        const goal = parseWaitGoal(flags.for);
        const timeoutMilliseconds = parseDuration(flags.timeout);
        const snapshot = await requireSnapshot(cluster, name);
        return await waitForGoal({ cluster, terminal, snapshot, goal, timeoutMilliseconds });
      });
    });
}
