import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { acceptedWrites } from "./api-writes.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";

let plane: ControlPlane;

beforeAll(async () => {
  plane = await startControlPlane();
});

afterAll(async () => {
  await plane?.stop();
  expect(existsSync(plane.dir)).toBe(false);
});

test("the API server tells the version that the module builds", async () => {
  const module = await readFile(new URL("go.mod", import.meta.url), "utf8");
  const wanted = /k8s\.io\/kubernetes (v\S+)/.exec(module)?.[1];
  expect(wanted).toBeDefined();
  expect(await plane.kubectl(["version"])).toContain(`Server Version: ${wanted}`);
});

test("a ServiceAccount's token may do what RBAC grants it, and nothing else", async () => {
  await plane.kubectl(["create", "serviceaccount", "reader", "-n", "default"]);
  await plane.kubectl(["create", "clusterrole", "read-nodes", "--verb=list", "--resource=nodes"]);
  await plane.kubectl([
    ...["create", "clusterrolebinding", "read-nodes"],
    ...["--clusterrole=read-nodes", "--serviceaccount=default:reader"],
  ]);
  const token = await plane.tokenFor({ namespace: "default", name: "reader" });
  const kubeconfig = await plane.kubeconfigFor("reader", token);
  expect(await plane.kubectl(["get", "nodes", "-o", "name"], { kubeconfig })).toBe("");
  await expect(plane.kubectl(["get", "secrets"], { kubeconfig })).rejects.toThrow("forbidden");
});

test("a token can be bound to a Node, which the API server then knows", async () => {
  await plane.apply("{apiVersion: v1, kind: Node, metadata: {name: node-1}}");
  await plane.kubectl(["create", "serviceaccount", "agent", "-n", "default"]);
  const token = await plane.tokenFor({ namespace: "default", name: "agent" }, { node: "node-1" });
  const kubeconfig = await plane.kubeconfigFor("agent", token);
  const whoami = await plane.kubectl(["auth", "whoami", "-o", "json"], { kubeconfig });
  expect(JSON.parse(whoami)).toMatchObject({
    status: {
      userInfo: {
        username: "system:serviceaccount:default:agent",
        extra: { "authentication.kubernetes.io/node-name": ["node-1"] },
      },
    },
  });
});

test("writes to our group are counted, and outlive a restart of the API server", async () => {
  await plane.installCrds();
  await plane.apply(`apiVersion: domainsnapshot.io/v1alpha1
kind: DomainSnapshot
metadata: {name: counted, namespace: default}
spec: {domainRef: {name: d}, memory: {snapshot: external}}
`);
  await plane.restartApiServer();
  const kept = await plane.kubectl(["get", "domainsnapshot", "counted", "-o", "name"]);
  expect(kept).toContain("counted");
  const writes = await acceptedWrites(plane.auditLogPath);
  expect(writes.map(({ user, objectRef }) => `${user.username} ${objectRef.resource} ${objectRef.name}`)).toEqual([
    "admin domainsnapshots counted",
  ]);
});
