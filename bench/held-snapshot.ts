// `npm run bench`: what a held snapshot costs, over many runs of the whole system: the pause before the hold, the way from
// the resume patch to QEMU's RESUME event, API writes, memory of operator and agent. Figures are of one run of one machine.

import { parseArgs } from "node:util";
import { acceptedWrites, snapshotWrites } from "../test/control-plane/api-writes.ts";
import { namespace, Stack } from "../test/stack/stack.ts";
import { median, percentile } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    runs: { type: "string", default: "20" },
    qemu: { type: "string", default: "7.2" },
    json: { type: "boolean", default: false },
  },
});

interface Run {
  readonly beforeHoldMilliseconds: number;
  /** From the moment the patch is sent, so an upper bound of "accepted to RESUME". */
  readonly resumeLatencyMilliseconds: number;
  readonly apiWrites: number;
}

const say = (line: string) => process.stderr.write(`${line}\n`);

async function oneRun(stack: Stack, capture: "paused" | "live", name: string): Promise<Run> {
  const writesBefore = (await acceptedWrites(stack.plane.auditLogPath)).length;
  await stack.plane.apply(manifest(name, capture));
  const held = await stack.until(
    name,
    "held",
    ({ status }) => status?.phase === "ManualStoragePending" || status?.phase === "Failed",
  );
  if (held.status?.phase === "Failed") throw new Error(`${name} failed: ${held.status.error?.message}`);
  const sentAt = Date.now();
  await stack.resume(name);
  const done = await stack.until(
    name,
    "Completed",
    ({ status }) => status?.phase === "Completed" || status?.phase === "Failed",
  );
  const { pause, resumedAt, error } = done.status ?? {};
  if (pause?.beforeHoldMilliseconds === undefined || resumedAt === undefined)
    throw new Error(`${name}: ${error?.message}`);
  await stack.guest.waitForMoreTicks(3);
  const wrong = stack.guest.mismatch(["vda", "vdb", "vdc"]);
  if (wrong !== undefined) throw new Error(`the guest found a mismatch: ${wrong}`);
  const writes = (await acceptedWrites(stack.plane.auditLogPath)).slice(writesBefore);
  return {
    beforeHoldMilliseconds: pause.beforeHoldMilliseconds,
    resumeLatencyMilliseconds: microseconds(resumedAt) / 1000 - sentAt,
    apiWrites: snapshotWrites(writes).length,
  };
}

function microseconds(microTime: string): number {
  return Date.parse(microTime) * 1000 + Number(microTime.slice(23, 26));
}

function manifest(name: string, capture: string): string {
  return JSON.stringify({
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshot",
    metadata: { name, namespace },
    spec: {
      domainRef: { name: "demo" },
      capture,
      memory: { snapshot: "external" },
      disks: [
        { name: "vda", snapshot: "manual" },
        { name: "vdb", snapshot: "external" },
        { name: "vdc", snapshot: "none" },
      ],
    },
  });
}

function summary(values: readonly number[]): { p50: number; max: number } {
  return { p50: median(values), max: percentile(values, 1) };
}

async function main(): Promise<void> {
  const runs = Number(options.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${options.runs}: give a number of runs`);
  if (options.qemu !== "7.2" && options.qemu !== "10.0") throw new Error(`--qemu ${options.qemu}: choose 7.2 or 10.0`);
  await using stack = await Stack.start({ qemu: options.qemu, progress: say });
  const result: Record<string, unknown> = { qemu: options.qemu, runs };
  for (const capture of ["paused", "live"] as const) {
    const seen: Run[] = [];
    for (let run = 1; run <= runs; run += 1) seen.push(await oneRun(stack, capture, `${capture}-${run}`));
    const pause = summary(seen.map((run) => run.beforeHoldMilliseconds));
    const resume = summary(seen.map((run) => run.resumeLatencyMilliseconds));
    const writes = summary(seen.map((run) => run.apiWrites));
    result[capture] = { pauseBeforeHoldMilliseconds: pause, resumeLatencyMilliseconds: resume, apiWrites: writes };
    say(
      `${capture.padEnd(6)} pause before hold p50 ${pause.p50.toFixed(1)} ms, max ${pause.max.toFixed(1)} ms; ` +
        `resume patch to RESUME p50 ${resume.p50.toFixed(1)} ms, max ${resume.max.toFixed(1)} ms; ` +
        `API writes p50 ${writes.p50}, max ${writes.max}`,
    );
  }
  const memory = { operator: stack.operator.residentMebibytes(), agent: stack.agent.residentMebibytes() };
  result["residentMebibytes"] = memory;
  say(`resident memory: operator ${memory.operator} MiB, agent ${memory.agent} MiB`);
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
}

await main();
