// Whoever starts the guest next must open the new images: the domain's diskChangeCommand tells them, before the guest runs.

import { spawn } from "node:child_process";
import type { Overlay } from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import type { Step } from "../step.ts";

const limitMilliseconds = 10_000;

export const announce: Step = {
  name: "announce",
  phase: "SwitchingDisks",
  applies: (context) => context.prepared.overlays.length > 0 && context.job.domain.diskChangeCommand !== undefined,
  async run(context, signal) {
    const startedAt = context.clock.monotonic();
    for (const overlay of context.prepared.overlays) {
      const base = overlay.disk.filename ?? "";
      await tell(context, overlay, { oldPath: base, newPath: overlay.path, chain: [overlay.path, base] }, signal);
    }
    context.log.info(
      { milliseconds: Math.round(context.clock.monotonic() - startedAt) },
      "the new images were announced",
    );
  },
  /** Before an overlay is unlinked: the old image is the guest's again. */
  async cleanUp(context) {
    for (const overlay of context.prepared.overlays.toReversed()) {
      const base = overlay.disk.filename ?? "";
      await tell(context, overlay, { oldPath: overlay.path, newPath: base, chain: [base] });
    }
  },
};

async function tell(
  context: SnapshotContext,
  overlay: Overlay,
  change: { oldPath: string; newPath: string; chain: readonly string[] },
  signal?: AbortSignal,
): Promise<void> {
  const { namespace, name, diskChangeCommand = [] } = context.job.domain;
  const [command = "", ...args] = diskChangeCommand;
  const domain = { namespace, name, uuid: context.prepared.uuid };
  const timeout = AbortSignal.timeout(limitMilliseconds);
  const child = spawn(command, args, {
    stdio: ["pipe", "ignore", "pipe"],
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (said.length < 2000) said += chunk;
  });
  // A command that does not read its input is no error.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${JSON.stringify({ domain, disk: overlay.disk.name, ...change })}\n`);
  const outcome = await new Promise<string | undefined>((resolve) => {
    child.once("error", (error) =>
      resolve(timeout.aborted ? `took longer than ${limitMilliseconds / 1000} s` : error.message),
    );
    child.once("exit", (code, killed) => resolve(code === 0 ? undefined : `ended with ${code ?? killed}`));
  });
  signal?.throwIfAborted();
  if (outcome === undefined) return;
  throw new Failure(
    "DiskChangeFailed",
    `diskChangeCommand ${command} for ${overlay.disk.name} ${outcome}${said === "" ? "" : `: ${said.trim()}`}`,
  );
}
