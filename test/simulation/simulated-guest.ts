// A guest and its QEMU in memory, held to what the real ones were seen to do: run states, images, jobs, migration.
// The guest writes its counter to every disk whenever it gets to run, so that a lost write can be seen.

import { appendFileSync, writeFileSync } from "node:fs";
import { QmpError } from "../../src/qmp/qmp-error.ts";

export interface Device {
  readonly name: string;
  readonly qdev: string;
  /** Set for -drive disks: no switching back in place. */
  readonly driveId: string;
  node: string;
  operations: number;
}

interface Node {
  readonly name: string;
  readonly driver: string;
  readonly file: string;
  readonly child?: string;
  backing?: string | undefined;
  readOnly: boolean;
}

interface Job {
  readonly id: string;
  readonly type: string;
  readonly device: string;
  /** Where a commit goes. */
  readonly base: string;
  status: string;
}

/** The arguments of all commands in one shape: whoever carries a command out knows which of them it has. */
interface Arguments {
  readonly path: string;
  readonly id: string;
  readonly uri: string;
  readonly property: string;
  readonly value: string;
  readonly device: string;
  readonly driver: string;
  readonly filename?: string;
  readonly file?: string;
  readonly "node-name": string;
  readonly "job-id": string;
  readonly "base-node"?: string;
  readonly capabilities: { readonly capability: string; readonly state: boolean }[];
  readonly actions: { readonly type: string; readonly data: { readonly node: string; readonly overlay: string } }[];
  readonly options: { readonly "node-name": string }[];
}

export type GuestEvent = { readonly event: string; readonly data: Record<string, unknown> };

const initialParameters = { "max-bandwidth": 134217728, "downtime-limit": 300 };
const initialCapabilities = () =>
  new Map([
    ["events", false],
    ["auto-converge", true],
  ]);
const pollsOfASave = 3;
const absent = "CommandNotFound";

export class SimulatedGuest {
  readonly uuid = "0f6b3c1e-64a5-4d62-9d0e-5f2b3a1c7d90";
  readonly version: { major: number; minor: number; micro: number; package: string };
  alive = true;
  /** The session that is being served: a monitor has one client at a time. */
  session: object | undefined;
  runState: string;
  counter = 0;
  devices: Device[] = [];
  nodes = new Map<string, Node>();
  jobs = new Map<string, Job>();
  objects = new Set<string>();
  parameters: Record<string, number> = { ...initialParameters };
  capabilities = initialCapabilities();
  /** path -> what the guest wrote there; absent in an overlay that was not written to. */
  readonly images = new Map<string, number>();
  /** What no guest survives: a write to an image that QEMU opened read-only. */
  damage: string | undefined;
  #migration: { status: string; path: string; polls: number } = { status: "none", path: "", polls: 0 };
  #inactive = false;
  readonly #listeners = new Set<(event: GuestEvent) => void>();

  constructor(options: { major: 7 | 10; ranBefore: boolean; disks: { name: string; path: string; drive: boolean }[] }) {
    this.version = { major: options.major, minor: options.major === 7 ? 2 : 0, micro: 0, package: "simulated" };
    for (const { name, path, drive } of options.disks) {
      const node = drive ? `#block-${name}` : `node-${name}`;
      // Every disk is on an overlay already, as after an earlier snapshot: its base must never change again.
      const root = `${node}-root`;
      this.nodes.set(root, { name: root, driver: "raw", file: `${path}.root`, readOnly: true });
      this.images.set(`${path}.root`, 0);
      this.nodes.set(`${node}-f`, { name: `${node}-f`, driver: "file", file: path, readOnly: false });
      this.nodes.set(node, {
        name: node,
        driver: "raw",
        file: path,
        child: `${node}-f`,
        backing: root,
        readOnly: false,
      });
      const driveId = drive ? `drive-${name}` : "";
      this.devices.push({ name, qdev: `/machine/peripheral/${name}`, driveId, node, operations: 0 });
    }
    this.runState = "running";
    this.#run();
    if (!options.ranBefore) this.runState = "paused";
  }

  subscribe(listener: (event: GuestEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What the guest would read from the disk now. */
  read(device: string): number | undefined {
    let node = this.nodes.get(this.#device(device).node);
    for (; node !== undefined; node = node.backing === undefined ? undefined : this.nodes.get(node.backing)) {
      const value = this.images.get(node.file);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Path of the image that the disk is on. */
  image(device: string): string {
    return this.nodes.get(this.#device(device).node)?.file ?? "";
  }

  /** Images below and including the disk's own. */
  chain(device: string): string[] {
    const files: string[] = [];
    let node = this.nodes.get(this.#device(device).node);
    for (; node !== undefined; node = node.backing === undefined ? undefined : this.nodes.get(node.backing)) {
      files.push(node.file);
    }
    return files;
  }

  kill(): void {
    this.alive = false;
  }

  /** QEMU is started again behind the same socket, with the same UUID and the images it was on. */
  startAgain(): void {
    this.alive = true;
    this.session = undefined;
    this.objects.clear();
    this.jobs.clear();
    this.parameters = { ...initialParameters };
    this.capabilities = initialCapabilities();
    this.runState = "running";
    this.#migration = { status: "none", path: "", polls: 0 };
    this.#inactive = false;
  }

  /** Carries a command out; throws QmpError where QEMU refuses. */
  execute(command: string, args: Record<string, unknown> = {}): unknown {
    if (this.runState === "running") this.#run();
    const handler = this.#handlers[command];
    if (handler === undefined) throw this.#refusal(command, `The command ${command} has not been found`, absent);
    return handler(args as unknown as Arguments);
  }

  readonly #handlers: Record<string, (args: Arguments) => unknown> = {
    "query-uuid": () => ({ UUID: this.uuid }),
    "query-name": () => ({ name: "simulated" }),
    "query-status": () => ({ status: this.runState, running: this.runState === "running" }),
    "query-memory-size-summary": () => ({ "base-memory": 64 << 20 }),
    "query-block-jobs": () =>
      [...this.jobs.values()].filter(({ type }) => type === "commit").map(({ id, type }) => ({ device: id, type })),
    "query-jobs": () => [...this.jobs.values()].map(({ id, type, status }) => ({ id, type, status })),
    "query-block": () =>
      this.devices.map(({ driveId, qdev, node }) => ({
        device: driveId,
        qdev,
        inserted: {
          "node-name": node,
          drv: this.#node(node).driver,
          file: this.#node(node).file,
          ro: this.#node(node).readOnly,
        },
      })),
    "query-named-block-nodes": () =>
      [...this.nodes.values()].map(({ name, driver, file, readOnly }) => ({
        ...{ "node-name": name, drv: driver, file, ro: readOnly },
        image: { "virtual-size": 1 << 20 },
      })),
    "x-debug-query-block-graph": () => this.#graph(),
    "query-blockstats": () =>
      this.devices.map(({ driveId, qdev, operations }) => ({
        device: driveId,
        qdev,
        stats: { rd_operations: 0, wr_operations: operations, wr_bytes: operations * 512 },
      })),
    "qom-list": ({ path }) =>
      path === "/objects" ? [...this.objects].map((name) => ({ name, type: "child<throttle-group>" })) : [],
    "qom-get": ({ path, property }) => {
      if (property === "type") return path === "/machine" ? "pc-q35-7.2-machine" : "virtio-blk-pci";
      throw this.#refusal("qom-get", "no such property");
    },
    "object-add": ({ id }) => {
      if (this.objects.has(id)) throw this.#refusal("object-add", "attempt to add duplicate property");
      this.objects.add(id);
      return {};
    },
    "object-del": ({ id }) => {
      if (!this.objects.delete(id)) throw this.#refusal("object-del", `object '${id}' not found`);
      return {};
    },
    stop: () => {
      if (this.runState !== "running") return {};
      this.runState = "paused";
      this.#emit("STOP");
      return {};
    },
    cont: () => {
      if (this.runState === "running") return {};
      this.runState = "running";
      this.#inactive = false;
      this.#emit("RESUME");
      this.#run();
      return {};
    },
    "query-migrate-capabilities": () => [...this.capabilities].map(([capability, state]) => ({ capability, state })),
    "query-migrate-parameters": () => ({ ...this.parameters }),
    "migrate-set-capabilities": ({ capabilities }) => {
      for (const { capability, state } of capabilities) this.capabilities.set(capability, state);
      return {};
    },
    "migrate-set-parameters": (parameters) => {
      Object.assign(this.parameters, parameters);
      return {};
    },
    migrate: ({ uri }) => this.#migrate(uri),
    migrate_cancel: () => {
      if (this.#migration.status === "active") this.#setMigration("cancelled");
      return {};
    },
    "query-migrate": () => this.#queryMigrate(),
    transaction: ({ actions }) => this.#transaction(actions),
    "blockdev-create": ({ "job-id": id }) =>
      this.#newJob({ id, type: "create", device: "", base: "", status: "concluded" }),
    "blockdev-add": ({ "node-name": name, driver, filename, file }) => {
      if (this.nodes.has(name)) throw this.#refusal("blockdev-add", "Duplicate nodes with node-name");
      const below = file === undefined ? undefined : this.#node(file);
      const path = filename ?? below?.file ?? "";
      this.nodes.set(name, {
        name,
        driver,
        file: path,
        ...(file !== undefined && { child: file }),
        readOnly: false,
      });
      return {};
    },
    "blockdev-del": ({ "node-name": name }) => {
      const node = this.#node(name);
      if (this.#parents(name).length > 0) throw this.#refusal("blockdev-del", `Node ${name} is in use`);
      this.nodes.delete(node.name);
      return {};
    },
    "blockdev-reopen": ({ options }) => {
      for (const { "node-name": name } of options) {
        if (name.startsWith("#")) throw this.#refusal("blockdev-reopen", "Cannot change the option 'node-name'");
        this.#node(name).readOnly = false;
      }
      return {};
    },
    "qom-set": ({ path, value }) => {
      const device = this.devices.find((candidate) => candidate.qdev === path);
      if (device === undefined) throw this.#refusal("qom-set", "no such device");
      device.node = value;
      return {};
    },
    "blockdev-set-active": () => {
      if (this.version.major < 10) throw this.#refusal("blockdev-set-active", "not found", absent);
      this.#inactive = false;
      return {};
    },
    "block-commit": ({ "job-id": id, device, "base-node": base }) => {
      if (this.#inactive) throw this.#refusal("block-commit", "Block node is read-only");
      if (this.#node(device).backing === undefined) throw this.#refusal("block-commit", "no backing");
      return this.#newJob({ id, type: "commit", device, base: base ?? this.#bottom(device), status: "ready" });
    },
    "job-complete": ({ id }) => {
      const job = this.#job(id);
      const overlay = this.#node(job.device);
      const base = this.#node(job.base);
      const value = this.images.get(overlay.file);
      if (value !== undefined) this.images.set(base.file, value);
      base.readOnly = false;
      for (const device of this.devices) if (device.node === overlay.name) device.node = base.name;
      job.status = "concluded";
      this.#emit("JOB_STATUS_CHANGE", { id, status: "concluded" });
      return {};
    },
    "job-dismiss": ({ id }) => {
      if (this.#job(id).status !== "concluded") throw this.#refusal("job-dismiss", "Job in state cannot be dismissed");
      this.jobs.delete(id);
      return {};
    },
  };

  /** The guest gets to run for a moment. */
  #run(): void {
    this.counter += 1;
    for (const device of this.devices) {
      const { name, node } = device;
      const top = this.#node(node);
      if (top.readOnly || this.#inactive) this.damage ??= `${name}: a write met a read-only image (${top.file})`;
      device.operations += 1;
      this.images.set(top.file, this.counter);
    }
  }

  #migrate(uri: string): unknown {
    if (this.runState === "postmigrate")
      throw this.#refusal("migrate", "Can't migrate the vm that was paused due to previous migration");
    if (this.#migration.status === "active") throw this.#refusal("migrate", "There's a migration process in progress");
    const path = /'(.*)'/.exec(uri)?.[1] ?? /^file:(.*),offset=/.exec(uri)?.[1] ?? "";
    this.#migration = { status: "active", path, polls: 0 };
    this.#emit("MIGRATION", { status: "active" });
    return {};
  }

  #queryMigrate(): unknown {
    const migration = this.#migration;
    if (migration.status === "none") return {};
    if (migration.status === "active" && ++migration.polls >= pollsOfASave) {
      if (this.runState === "running") {
        this.runState = "finish-migrate";
        this.#emit("STOP");
      }
      this.runState = "postmigrate";
      this.#inactive = true;
      if (this.version.major >= 10) writeFileSync(migration.path, JSON.stringify(this.counter));
      else appendFileSync(migration.path, JSON.stringify(this.counter));
      this.#setMigration("completed");
    }
    const ram = { transferred: migration.status === "completed" ? 1 : migration.polls, remaining: 1, total: 10 };
    return { status: migration.status, ram };
  }

  #setMigration(status: string): void {
    this.#migration.status = status;
    this.#emit("MIGRATION", { status });
  }

  #transaction(actions: Arguments["actions"]): unknown {
    const switches = actions.filter(({ type }) => type === "blockdev-snapshot").map(({ data }) => data);
    for (const { node, overlay } of switches) {
      if (this.#node(overlay).backing !== undefined)
        throw this.#refusal("transaction", "The overlay is already in use");
      this.#node(node);
    }
    for (const { node, overlay } of switches) {
      this.#node(overlay).backing = node;
      this.#node(node).readOnly = true;
      for (const device of this.devices) if (device.node === node) device.node = overlay;
    }
    return {};
  }

  #newJob(job: Job): unknown {
    if (this.jobs.has(job.id)) throw this.#refusal(job.type, `Job ID '${job.id}' already in use`);
    this.jobs.set(job.id, job);
    this.#emit("JOB_STATUS_CHANGE", { id: job.id, status: job.status });
    return {};
  }

  #graph(): unknown {
    const names = [...this.nodes.keys()];
    const backends = this.devices.map(({ driveId }, index) => ({
      id: 1000 + index,
      type: "block-backend",
      name: driveId,
    }));
    const running = [...this.jobs.values()].filter(({ type, status }) => type === "commit" && status !== "concluded");
    const jobs = running.map(({ id }, index) => ({ id: 2000 + index, type: "block-job", name: id }));
    const edges: { parent: number; child: number; name: string }[] = [];
    for (const [index, device] of this.devices.entries()) {
      edges.push({ parent: 1000 + index, child: names.indexOf(device.node), name: "root" });
    }
    for (const [index, job] of running.entries())
      edges.push({ parent: 2000 + index, child: names.indexOf(job.device), name: "main" });
    for (const node of this.nodes.values()) {
      const parent = names.indexOf(node.name);
      if (node.child !== undefined) edges.push({ parent, child: names.indexOf(node.child), name: "file" });
      if (node.backing !== undefined) edges.push({ parent, child: names.indexOf(node.backing), name: "backing" });
    }
    const drivers = names.map((name, id) => ({ id, type: "block-driver", name }));
    return { nodes: [...drivers, ...backends, ...jobs], edges };
  }

  #parents(name: string): string[] {
    const above = [...this.nodes.values()].filter((node) => node.child === name || node.backing === name);
    const devices = this.devices.filter((device) => device.node === name);
    const jobs = [...this.jobs.values()].filter((job) => job.device === name && job.status !== "concluded");
    return [...above.map((node) => node.name), ...devices.map((device) => device.name), ...jobs.map((job) => job.id)];
  }

  /** The lowest image of a chain: where a commit goes that names no base. */
  #bottom(name: string): string {
    const { backing } = this.#node(name);
    return backing === undefined ? name : this.#bottom(backing);
  }

  #node(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw this.#refusal("block", `Cannot find device='' nor node-name='${name}'`);
    return node;
  }

  #job(id: string): Job {
    const job = this.jobs.get(id);
    if (job === undefined) throw this.#refusal("job", "Job not found");
    return job;
  }

  #device(name: string): Device {
    const device = this.devices.find((candidate) => candidate.name === name);
    if (device === undefined) throw new Error(`no device ${name}`);
    return device;
  }

  #emit(event: string, data: Record<string, unknown> = {}): void {
    for (const listener of this.#listeners) listener({ event, data });
  }

  #refusal(command: string, description: string, kind = "GenericError"): QmpError {
    return new QmpError({ command, class: kind, description });
  }
}
