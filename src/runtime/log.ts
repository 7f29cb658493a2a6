// Structured logs: JSON lines, level as a word, ISO time. Humans pipe them to pino-pretty.

import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger };

/** Creates the process's logger. Secrets never reach it: authorization headers and tokens are redacted by path. */
export function createLogger(options: { level?: string; destination?: DestinationStream } = {}): Logger {
  const settings = {
    level: options.level ?? "info",
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: ["*.token", "*.authorization", "headers.Authorization", "headers.authorization"],
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}
