// A real guest under QEMU (TCG) that checks itself: start, watch its serial console, restore from a snapshot, stop.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ManagedProcess } from "../stack/managed-process.ts";
import type { GuestImage } from "./image.ts";
import type { Qemu } from "./qemu.ts";
import { shell } from "./shell.ts";

/** A disk or a drive of the guest. */
export interface GuestDisk {
  /** The node name stem and device id, such as vda. */
  readonly name: string;
  readonly format?: "raw" | "qcow2";
  /** Missing for an empty drive. */
  readonly path?: string;
  /** virtio (default) is a disk, cdrom a SATA drive. */
  readonly bus?: "virtio" | "cdrom";
}

export interface GuestOptions {
  readonly qemu: Qemu;
  readonly image: GuestImage;
  readonly directory: string;
  readonly disks: readonly GuestDisk[];
  /** Name of its files in `directory` and of the guest itself. */
  readonly name?: string;
  readonly uuid?: string;
  readonly memoryMebibytes?: number;
  /** MiB of memory the guest fills at its start. */
  readonly touchMebibytes?: number;
  /** Start stopped and wait for a migration. */
  readonly incoming?: boolean;
  readonly extraArgs?: readonly string[];
}

/** What one line of the guest's console says. */
export interface Tick {
  readonly number: number;
  /** "ok" or "MISMATCH(...)" for `mem` and each disk. */
  readonly verdicts: Readonly<Record<string, string>>;
}

/** Creates an image file; returns its path. */
export function createDisk(qemu: Qemu, path: string, format: "raw" | "qcow2" | "vmdk", mebibytes = 16): string {
  shell(qemu.img, ["create", "-q", "-f", format, path, `${mebibytes}M`], { env: qemu.env });
  return path;
}

/** A running test guest. */
export class TestGuest implements AsyncDisposable {
  readonly options: GuestOptions;
  readonly uuid: string;
  /** The monitor for the software under test. */
  readonly monitorPath: string;
  /** A second monitor, for the test itself. */
  readonly testMonitorPath: string;
  readonly process: ManagedProcess;
  readonly #serialFile: string;

  private constructor(options: GuestOptions, uuid: string) {
    const name = options.name ?? "guest";
    const { directory, qemu } = options;
    this.options = options;
    this.uuid = uuid;
    this.monitorPath = join(directory, `${name}.qmp`);
    this.testMonitorPath = join(directory, `${name}.test.qmp`);
    this.#serialFile = join(directory, `${name}.console`);
    // What a guest of this name left before would be taken for the new one's.
    for (const file of [this.monitorPath, this.testMonitorPath, this.#serialFile]) rmSync(file, { force: true });
    this.process = new ManagedProcess({
      name: `qemu ${name}`,
      logFile: join(directory, `${name}.qemu.log`),
      env: qemu.env,
      argv: [qemu.system, ...qemu.args, ...this.#argv(name)],
    });
  }

  /** Starts the guest and waits for its monitor; unless it waits for a migration, also until it has ticked. */
  static async start(options: GuestOptions): Promise<TestGuest> {
    const guest = new TestGuest(options, options.uuid ?? randomUUID());
    try {
      await guest.#until("its monitor", 20_000, () => existsSync(guest.testMonitorPath));
      if (options.incoming !== true) await guest.waitForTick(5);
    } catch (error) {
      await guest.stop();
      throw error;
    }
    return guest;
  }

  get pid(): number {
    return this.process.pid;
  }

  get console(): string {
    return existsSync(this.#serialFile) ? readFileSync(this.#serialFile, "latin1") : "";
  }

  /** Every tick the console shows so far. */
  get ticks(): Tick[] {
    const ticks: Tick[] = [];
    for (const match of this.console.matchAll(/^tick (\d+) (.*)\r?\n/gm)) {
      const verdicts: Record<string, string> = {};
      for (const verdict of (match[2] ?? "").matchAll(/(\w+)=(ok|MISMATCH\([^)]*\))/g)) {
        verdicts[verdict[1] ?? ""] = verdict[2] ?? "";
      }
      ticks.push({ number: Number(match[1]), verdicts });
    }
    return ticks;
  }

  get lastTick(): number {
    return this.ticks.at(-1)?.number ?? -1;
  }

  /** Waits until the console has shown tick `number`. */
  async waitForTick(number: number, timeoutMilliseconds = 90_000): Promise<void> {
    await this.#until(`tick ${number}`, timeoutMilliseconds, () => this.lastTick >= number);
  }

  /** Waits for `count` more ticks: proof that the guest runs. */
  async waitForMoreTicks(count = 3, timeoutMilliseconds = 30_000): Promise<void> {
    await this.waitForTick(this.lastTick + count, timeoutMilliseconds);
  }

  /** The first disagreement that the guest found among memory and `disks`, if any. */
  mismatch(disks: readonly string[]): string | undefined {
    for (const tick of this.ticks) {
      for (const name of ["mem", ...disks]) {
        if (tick.verdicts[name] !== "ok")
          return `tick ${tick.number}: ${name} ${tick.verdicts[name] ?? "is not checked"}`;
      }
    }
    return undefined;
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.process.stop(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #until(what: string, timeoutMilliseconds: number, done: () => boolean): Promise<void> {
    const deadline = performance.now() + timeoutMilliseconds;
    while (!done()) {
      if (!this.process.running) throw new Error(`QEMU ended: ${this.process.log.slice(-2000)}`);
      if (performance.now() > deadline) {
        throw new Error(`the guest did not reach ${what} in ${timeoutMilliseconds} ms: ${this.console.slice(-500)}`);
      }
      await delay(20);
    }
  }

  #argv(name: string): string[] {
    const { options } = this;
    const append = `console=ttyS0 quiet rdinit=/init panic=-1 touch=${options.touchMebibytes ?? 0}`;
    return [
      ...["-name", `guest=${name}`, "-uuid", this.uuid],
      ...["-machine", `${options.qemu.machine},accel=tcg`, "-cpu", "max", "-m", `${options.memoryMebibytes ?? 256}`],
      // Not SeaBIOS: on QEMU 10.0 it waits half a minute for a medium in an empty drive.
      ...["-display", "none", "-nodefaults", "-no-user-config", "-bios", "qboot.rom"],
      ...["-kernel", options.image.kernel, "-initrd", options.image.initrd, "-append", append],
      ...["-serial", `file:${this.#serialFile}`],
      ...["-qmp", `unix:${this.monitorPath},server=on,wait=off`],
      ...["-qmp", `unix:${this.testMonitorPath},server=on,wait=off`],
      ...options.disks.flatMap(driveArgs),
      ...(options.incoming === true ? ["-S", "-incoming", "defer"] : []),
      ...(options.extraArgs ?? []),
    ];
  }
}

function driveArgs(disk: GuestDisk, index: number): string[] {
  const device =
    disk.bus === "cdrom"
      ? `ide-cd,id=${disk.name},bus=ide.${index % 6}`
      : `virtio-blk-pci,id=${disk.name},serial=${disk.name}`;
  if (disk.path === undefined) return ["-device", device];
  const readOnly = disk.bus === "cdrom" ? "on" : "off";
  const file = `driver=file,node-name=${disk.name}-storage,filename=${disk.path},read-only=${readOnly}`;
  const format = `driver=${disk.format ?? "raw"},node-name=${disk.name}-format,file=${disk.name}-storage,read-only=${readOnly}`;
  return ["-blockdev", file, "-blockdev", format, "-device", `${device},drive=${disk.name}-format`];
}
