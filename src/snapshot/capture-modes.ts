// The capture modes: orders of the same steps.

import { Failure } from "../runtime/failure.ts";
import type { CaptureMode } from "./plan.ts";
import type { Step } from "./step.ts";
import { announce } from "./steps/announce.ts";
import { createOverlays } from "./steps/create-overlays.ts";
import { finish } from "./steps/finish.ts";
import { freeze, wake } from "./steps/freeze.ts";
import { hold } from "./steps/hold.ts";
import { markGuest } from "./steps/mark-guest.ts";
import { pause } from "./steps/pause.ts";
import { prepare } from "./steps/prepare.ts";
import { prepareMemory } from "./steps/prepare-memory.ts";
import { resume } from "./steps/resume.ts";
import { saveMemory } from "./steps/save-memory.ts";
import { switchDisks } from "./steps/switch-disks.ts";

/**
 * libvirt's order (qemuSnapshotCreateActiveExternal): memory, disks, hold. `live` has no pause of its own: QEMU stops the
 * guest when its memory has converged. `background` joins here: pause, switch, arm the save, hold.
 */
const steps: Readonly<Partial<Record<CaptureMode, readonly Step[]>>> = {
  paused: [
    prepare,
    markGuest,
    createOverlays,
    prepareMemory,
    freeze,
    pause,
    saveMemory,
    switchDisks,
    announce,
    hold,
    resume,
    wake,
    finish,
  ],
  live: [
    prepare,
    markGuest,
    createOverlays,
    prepareMemory,
    saveMemory,
    switchDisks,
    announce,
    hold,
    resume,
    wake,
    finish,
  ],
};

export function stepsOf(capture: CaptureMode): readonly Step[] {
  const found = steps[capture];
  if (found !== undefined) return found;
  throw new Failure("CaptureUnavailable", `capture ${capture} is not built yet; use live or paused`);
}
