// The matrix: every fault at every step in every capture mode, where the step can meet it, and how it may end.

export const captures = ["paused", "live"] as const;
export type Capture = (typeof captures)[number];

export const faults = [
  "agentKilled",
  "operatorKilled",
  "apiServerStopped",
  "linkCut",
  "qemuKilled",
  "commandError",
  "commandHang",
] as const;
export type FaultName = (typeof faults)[number];

/** The command by which a step is recognised on the wire; a step without one is recognised otherwise. */
export const steps = {
  prepare: { command: "query-migrate-parameters" },
  markGuest: { command: "object-add" },
  createOverlays: { command: "blockdev-create" },
  prepareMemory: { command: "migrate-set-parameters" },
  pause: { command: "stop" },
  saveMemory: { command: "migrate" },
  switchDisks: { command: "transaction" },
  /** By the diskChangeCommand itself. */
  announce: {},
  /** By the phase. */
  hold: {},
  resume: { command: "cont" },
  finish: { command: "object-del" },
} as const satisfies Record<string, { readonly command?: string }>;
export type StepName = keyof typeof steps;

export interface Cell {
  readonly capture: Capture;
  readonly step: StepName;
  readonly fault: FaultName;
  /** Whether QEMU has carried the command out when the fault strikes. */
  readonly moment: "before" | "after";
}

export function cellName({ fault, moment, step, capture }: Cell): string {
  return `${fault} ${moment} ${step}, ${capture}`;
}

/** Every cell there is. */
export function allCells(): Cell[] {
  const cells: Cell[] = [];
  for (const capture of captures) {
    for (const step of stepNames()) {
      if (step === "pause" && capture === "live") continue;
      for (const fault of faults) {
        for (const moment of moments(step, fault)) cells.push({ capture, step, fault, moment });
      }
    }
  }
  return cells;
}

function stepNames(): StepName[] {
  return Object.keys(steps).filter((name): name is StepName => name in steps);
}

function moments(step: StepName, fault: FaultName): Cell["moment"][] {
  switch (fault) {
    case "agentKilled":
    case "linkCut":
    case "qemuKilled":
      return "command" in steps[step] ? ["before", "after"] : ["after"];
    case "operatorKilled":
    case "apiServerStopped":
      return ["before"];
    case "commandError":
    case "commandHang":
      // The hold sends nothing that could fail while it lasts.
      return step === "hold" ? [] : ["before"];
  }
}

const beforeHold: ReadonlySet<StepName> = new Set<StepName>([
  "prepare",
  "markGuest",
  "createOverlays",
  "prepareMemory",
  "pause",
  "saveMemory",
  "switchDisks",
  "announce",
]);

/** The ends that a cell may have: "Completed", or the reason of Failed. */
export function allowedEnds({ fault, step }: Cell): readonly string[] {
  const early = beforeHold.has(step);
  switch (fault) {
    case "agentKilled":
      return early ? ["AgentLost"] : ["Completed"];
    case "operatorKilled":
    case "apiServerStopped":
      return ["Completed"];
    case "linkCut":
      // diskChangeCommand needs no monitor: the cut is mended, or noticed by the next command.
      return early ? ["MonitorUnavailable", "DiskSwitchFailed", "MemorySaveFailed"] : ["Completed"];
    case "qemuKilled":
      return step === "finish" ? ["Completed"] : early ? ["GuestLost", "MonitorUnavailable"] : ["GuestLost"];
    case "commandError":
      return early || step === "resume"
        ? ["CommandFailed", "DiskSwitchFailed", "MemorySaveFailed", "DiskChangeFailed", "ResumeFailed"]
        : ["Completed"];
    case "commandHang":
      return early
        ? ["MonitorUnavailable", "DiskSwitchFailed", "MemorySaveFailed", "DiskChangeFailed", "CommandFailed"]
        : ["Completed"];
  }
}
