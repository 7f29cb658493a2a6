// What arrives on a QMP socket: a greeting, replies with the id that was sent, events.

import { z } from "zod";
import { Failure } from "../runtime/failure.ts";

const greeting = z.object({
  QMP: z.looseObject({
    version: z.object({
      qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }),
      package: z.string(),
    }),
  }),
});
const success = z.object({ return: z.unknown(), id: z.number() });
const refusal = z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.number().optional() });
const event = z.object({
  event: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
  timestamp: z.object({ seconds: z.number(), microseconds: z.number() }),
});

/** An event as QEMU sent it. `at` is QEMU's own wall clock, in milliseconds since the epoch. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: number;
}

export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  readonly package: string;
}

export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: QemuVersion }
  | { readonly kind: "success"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refusal"; readonly id: number | undefined; readonly class: string; readonly description: string }
  | { readonly kind: "event"; readonly event: QmpEvent };

/** Parses one line; throws Failure MonitorUnavailable for anything that is not QMP. */
export function parseMessage(line: string): QmpMessage {
  const raw = parseJson(line);
  const asSuccess = success.safeParse(raw);
  if (asSuccess.success && typeof raw === "object" && raw !== null && "return" in raw) {
    return { kind: "success", id: asSuccess.data.id, value: asSuccess.data.return };
  }
  const asEvent = event.safeParse(raw);
  if (asEvent.success) {
    const { event: name, data, timestamp } = asEvent.data;
    return {
      kind: "event",
      event: { event: name, data, at: timestamp.seconds * 1000 + timestamp.microseconds / 1000 },
    };
  }
  const asRefusal = refusal.safeParse(raw);
  if (asRefusal.success) {
    const { error, id } = asRefusal.data;
    return { kind: "refusal", id, class: error.class, description: error.desc };
  }
  const asGreeting = greeting.safeParse(raw);
  if (asGreeting.success) {
    const { version } = asGreeting.data.QMP;
    return { kind: "greeting", version: { ...version.qemu, package: version.package } };
  }
  throw new Failure("MonitorUnavailable", `the monitor sent something that is not QMP: ${line.slice(0, 200)}`);
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new Failure("MonitorUnavailable", `the monitor sent something that is not JSON: ${line.slice(0, 200)}`, {
      cause: error,
    });
  }
}
