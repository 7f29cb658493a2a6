// The three kinds with what is not schema: short names, printer columns, selectable fields.

import type { CustomResource, PrinterColumn } from "../custom-resource-definition.ts";
import { domain } from "./domain.ts";
import { domainSnapshot } from "./domain-snapshot.ts";
import { domainSnapshotContent } from "./domain-snapshot-content.ts";
import { domainSnapshotContents, domainSnapshots, domains } from "./group.ts";

const age: PrinterColumn = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "Time since creation.",
};

const phase: PrinterColumn = {
  name: "Phase",
  type: "string",
  jsonPath: ".status.phase",
  description: "Where the snapshot is.",
};

const paused: PrinterColumn = {
  name: "Paused",
  type: "number",
  jsonPath: ".status.pause.totalMilliseconds",
  description: "How long the guest stood still, in milliseconds.",
};

const node = (jsonPath: string, priority: 0 | 1): PrinterColumn => ({
  name: "Node",
  type: "string",
  jsonPath,
  description: "The node of the guest.",
  priority,
});

const ready = (description: string): PrinterColumn => ({
  name: "Ready",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Ready")].status',
  description,
});

const reason: PrinterColumn = {
  name: "Reason",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
  description: "Why Ready is what it is.",
  priority: 1,
};

const memorySize: PrinterColumn = {
  name: "Memory size",
  type: "integer",
  jsonPath: ".status.memory.sizeBytes",
  description: "Length of the memory file in bytes.",
  priority: 1,
};

const domainResource: CustomResource = {
  resource: domains,
  description: "A virtual machine that runs on a node. Written by the node's agent, read by everybody.",
  schema: domain,
  shortNames: ["dom"],
  columns: [
    node(".spec.nodeName", 0),
    { name: "State", type: "string", jsonPath: ".status.state", description: "The guest's run state." },
    ready("Whether the agent is connected to the guest's QMP."),
    {
      name: "Snapshot",
      type: "string",
      jsonPath: ".status.activeSnapshot",
      description: "The DomainSnapshotContent that is being carried out.",
      priority: 1,
    },
    { name: "QEMU", type: "string", jsonPath: ".status.qemuVersion", description: "Version of its QEMU.", priority: 1 },
    reason,
    age,
  ],
  selectableFields: [".spec.nodeName"],
};

const domainSnapshotResource: CustomResource = {
  resource: domainSnapshots,
  description:
    "A request to snapshot a virtual machine: memory, disks, and a hold while storage owners cut their disks.",
  schema: domainSnapshot,
  shortNames: ["dsnap"],
  columns: [
    { name: "Domain", type: "string", jsonPath: ".spec.domainRef.name", description: "The guest." },
    phase,
    { name: "Capture", type: "string", jsonPath: ".spec.capture", description: "How memory is captured." },
    paused,
    ready("Whether the snapshot is complete."),
    node(".status.nodeName", 1),
    memorySize,
    reason,
    age,
  ],
  selectableFields: [".spec.domainRef.name", ".status.phase"],
};

const contentResource: CustomResource = {
  resource: domainSnapshotContents,
  description: "The resolved plan of one DomainSnapshot for one node, and what happened there. Made by the operator.",
  schema: domainSnapshotContent,
  shortNames: ["dsnapc"],
  columns: [
    node(".spec.nodeName", 0),
    { name: "Domain", type: "string", jsonPath: ".spec.domain.name", description: "The guest." },
    phase,
    { name: "Desired", type: "string", jsonPath: ".spec.desired", description: "What the operator wants of the hold." },
    { ...paused, priority: 1 },
    memorySize,
    { name: "Step", type: "string", jsonPath: ".status.step", description: "The engine's current step.", priority: 1 },
    age,
  ],
  selectableFields: [".spec.nodeName"],
};

/** Every kind of the API, in the order in which the reference shows them. */
export const customResources: readonly CustomResource[] = [domainSnapshotResource, domainResource, contentResource];
