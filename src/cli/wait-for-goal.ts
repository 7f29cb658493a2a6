// Waits until a snapshot has reached a goal, telling the phases as they pass.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import type { Cluster } from "./connect.ts";
import { exitCodes } from "./exit-codes.ts";
import { explainFailure } from "./explain-error.ts";
import { followSnapshot } from "./follow-snapshot.ts";
import type { Terminal } from "./terminal.ts";
import type { WaitGoal } from "./wait-goal.ts";

/** Resolves with the exit code; a snapshot that ended without the goal will never reach it. */
export async function waitForGoal(options: {
  cluster: Cluster;
  terminal: Terminal;
  snapshot: DomainSnapshot;
  goal: WaitGoal;
  timeoutMilliseconds: number;
}): Promise<number> {
  const { cluster, terminal, goal, timeoutMilliseconds } = options;
  const { name } = options.snapshot.metadata;
  let told: string | undefined;
  return await followSnapshot({
    cluster,
    first: options.snapshot,
    timeoutMilliseconds,
    clock,
    look: (snapshot) => {
      const phase = snapshot.status?.phase;
      if (phase !== undefined && phase !== told) {
        told = phase;
        terminal.out(phase);
        if (phase === "ManualStoragePending" && goal.text === "Completed") {
          terminal.error(`the guest is held: cut its disks, then kubectl dsnap resume ${name} -n ${cluster.namespace}`);
        }
      }
      if (goal.reached(snapshot)) return exitCodes.completed;
      if (phase !== "Completed" && phase !== "Failed") return undefined;
      const why = phase === "Failed" ? explainFailure(snapshot.status?.error) : "create a new one to go through it";
      terminal.error(`kubectl-dsnap: ${name} ended as ${phase}, ${goal.text} will not come; ${why}`);
      return exitCodes.failed;
    },
  });
}
