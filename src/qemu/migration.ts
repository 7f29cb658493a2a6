// Saving memory is a migration to a file: its settings (global to QEMU, so put back), start, progress, end, cancel.

import { z } from "zod";
import { call } from "../qmp/commands.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Guest } from "./guest.ts";

/** What QEMU had before us; kept so that the next real migration is not spoilt. */
export interface MigrationSettings {
  readonly capabilities: readonly { readonly capability: string; readonly state: boolean }[];
  readonly parameters: Readonly<Record<string, number>>;
}

export interface MigrationState {
  /** none, setup, active, device, completed, failed, cancelling, cancelled ... */
  readonly status: string;
  readonly transferredBytes: number;
  readonly remainingBytes: number;
  readonly totalBytes: number;
  /** Passes over the memory so far; live only. */
  readonly dirtySyncCount: number;
  /** Bytes per second that the guest dirties; 0 until the second pass. */
  readonly dirtyBytesPerSecond: number;
  readonly downtimeMilliseconds?: number;
  readonly error?: string;
}

const running: ReadonlySet<string> = new Set([
  "setup",
  "active",
  "device",
  "pre-switchover",
  "cancelling",
  "wait-unplug",
  "postcopy-active",
]);
const unlimited = 9223372036854775807n;
const touchedCapabilities = [
  "events",
  "background-snapshot",
  "mapped-ram",
  "multifd",
  "auto-converge",
  "pause-before-switchover",
];
const touchedParameters = ["max-bandwidth", "downtime-limit"] as const;
const parameter = z.number();
const pollMilliseconds = 250;

export class Migration {
  readonly #guest: Guest;
  readonly #clock: Clock;

  constructor(options: { guest: Guest; clock: Clock }) {
    this.#guest = options.guest;
    this.#clock = options.clock;
  }

  /** The settings that a save touches, as they are now. */
  async settings(): Promise<MigrationSettings> {
    const [capabilities, parameters] = await Promise.all([
      call(this.#guest.connection, "query-migrate-capabilities"),
      call(this.#guest.connection, "query-migrate-parameters"),
    ]);
    return {
      capabilities: capabilities.filter(({ capability }) => touchedCapabilities.includes(capability)),
      parameters: Object.fromEntries(touchedParameters.map((name) => [name, parameter.parse(parameters[name])])),
    };
  }

  /** Prepares a save to a file: events, every disturbing capability off, no bandwidth limit. */
  async prepare(options: { before: MigrationSettings; downtimeLimitMilliseconds?: number }): Promise<void> {
    for (const { capability, state } of options.before.capabilities) {
      const wanted = capability === "events";
      if (state !== wanted) await this.#setCapability(capability, wanted);
    }
    // JSON numbers are doubles: 2^63-1 cannot be said, 0 means the same.
    const limit = options.downtimeLimitMilliseconds;
    await call(this.#guest.connection, "migrate-set-parameters", {
      "max-bandwidth": 0,
      ...(limit !== undefined && { "downtime-limit": limit }),
    });
  }

  /** Puts the settings back; safe to repeat. */
  async restore(settings: MigrationSettings): Promise<void> {
    for (const { capability, state } of settings.capabilities) await this.#setCapability(capability, state);
    const bandwidth = settings.parameters["max-bandwidth"] ?? 0;
    await call(this.#guest.connection, "migrate-set-parameters", {
      ...settings.parameters,
      // A value that was "unlimited" comes back rounded up beyond what QEMU takes.
      "max-bandwidth": bandwidth >= Number(unlimited) ? 0 : bandwidth,
    });
  }

  async start(uri: string, signal?: AbortSignal): Promise<void> {
    await call(this.#guest.connection, "migrate", { uri }, { signal });
  }

  async state(signal?: AbortSignal): Promise<MigrationState> {
    const info = await call(this.#guest.connection, "query-migrate", undefined, { signal });
    const { ram } = info;
    return {
      status: info.status ?? "none",
      transferredBytes: ram?.transferred ?? 0,
      remainingBytes: ram?.remaining ?? 0,
      totalBytes: ram?.total ?? 0,
      dirtySyncCount: ram?.["dirty-sync-count"] ?? 0,
      dirtyBytesPerSecond: (ram?.["dirty-pages-rate"] ?? 0) * (ram?.["page-size"] ?? 0),
      ...(info.downtime !== undefined && { downtimeMilliseconds: info.downtime }),
      ...(info["error-desc"] !== undefined && { error: info["error-desc"] }),
    };
  }

  /** Whether a migration runs now, ours or somebody else's. */
  async isRunning(): Promise<boolean> {
    return running.has((await this.state()).status);
  }

  /**
   * Resolves with the state it ended in: completed, failed or cancelled. Woken by MIGRATION events; a slow poll is the net
   * under them and gives the progress. `completed` is not the end: finish-migrate is waited out as well.
   */
  async finished(
    options: { signal?: AbortSignal; onProgress?: (state: MigrationState) => void } = {},
  ): Promise<MigrationState> {
    const { signal, onProgress } = options;
    let wake: () => void = () => undefined;
    const unsubscribe = this.#guest.connection.on("MIGRATION", () => wake());
    try {
      for (;;) {
        const event = Promise.withResolvers<void>();
        wake = event.resolve;
        const state = await this.state(signal);
        if (!running.has(state.status) && state.status !== "none") {
          if (state.status === "completed") await this.#finalized(signal);
          return state;
        }
        onProgress?.(state);
        const poll = new AbortController();
        const ended = signal === undefined ? poll.signal : AbortSignal.any([poll.signal, signal]);
        await Promise.race([event.promise, this.#clock.sleep(pollMilliseconds, ended).catch(() => undefined)]);
        poll.abort();
        signal?.throwIfAborted();
      }
    } finally {
      unsubscribe();
    }
  }

  /** Cancels and waits for the end, which may also be completed: the cancel can come too late. */
  async cancel(signal?: AbortSignal): Promise<MigrationState> {
    if (await this.isRunning()) await call(this.#guest.connection, "migrate_cancel", undefined, { signal });
    const state = await this.state(signal);
    return running.has(state.status) ? await this.finished(signal === undefined ? {} : { signal }) : state;
  }

  async #finalized(signal: AbortSignal | undefined): Promise<void> {
    while ((await this.#guest.runState(signal === undefined ? {} : { signal })) === "finish-migrate") {
      await this.#clock.sleep(1, signal);
    }
  }

  /** One command each: a list is taken all or nothing. */
  async #setCapability(capability: string, state: boolean): Promise<void> {
    await call(this.#guest.connection, "migrate-set-capabilities", { capabilities: [{ capability, state }] });
  }
}
