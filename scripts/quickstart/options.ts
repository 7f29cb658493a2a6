// The quickstart's command line.

import { parseArgs } from "node:util";

export interface QuickstartOptions {
  readonly capture: "paused" | "live";
  readonly qemu: "7.2" | "10.0";
  readonly keep: boolean;
  readonly json: boolean;
}

export const usage = `npm run quickstart -- [--capture paused|live] [--qemu 7.2|10.0] [--keep] [--json]

  --capture  how memory is captured (default paused)
  --qemu     which QEMU runs the guest (default 7.2, Debian's own)
  --keep     leave everything running and say what to try next
  --json     the last line of stdout is one JSON object`;

/** Reads argv; throws an Error whose message names the option that is wrong. */
export function readOptions(argv: readonly string[]): QuickstartOptions | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      capture: { type: "string", default: "paused" },
      qemu: { type: "string", default: "7.2" },
      keep: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const { capture, qemu } = values;
  if (capture !== "paused" && capture !== "live") {
    throw new Error(`--capture ${capture}: the quickstart knows paused and live`);
  }
  if (qemu !== "7.2" && qemu !== "10.0") throw new Error(`--qemu ${qemu}: choose 7.2 or 10.0`);
  return { capture, qemu, keep: values.keep, json: values.json };
}
