import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { defaultNamespace } from "../../src/operator/names.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";
import { ManagedProcess } from "../stack/managed-process.ts";
import { checkoutPath, mainArgv } from "../stack/node-arguments.ts";

let plane: ControlPlane;
let tokenFile: string;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
  for (const file of ["namespace", "service-accounts", "rbac-operator"]) {
    await plane.apply(await readFile(checkoutPath(`deploy/${file}.yaml`), "utf8"));
  }
  tokenFile = join(plane.dir, "operator.token");
  await writeFile(tokenFile, await plane.tokenFor({ namespace: defaultNamespace, name: "domain-snapshot-operator" }), {
    mode: 0o600,
  });
}, 180_000);

afterAll(async () => {
  await plane?.stop();
}, 60_000);

function startOperator(identity: string): ManagedProcess {
  const args = ["--server", plane.server, "--ca-file", plane.caFile, "--token-file", tokenFile, "--identity", identity];
  return new ManagedProcess({
    name: identity,
    argv: mainArgv("operator", args),
    logFile: join(plane.dir, `${identity}.log`),
  });
}

async function holder(): Promise<string> {
  const args = [
    "get",
    "lease",
    "domain-snapshot-operator",
    "-n",
    defaultNamespace,
    "-o",
    "jsonpath={.spec.holderIdentity}",
  ];
  return await plane.kubectl(args).catch(() => "");
}

const domain = (name: string) => `apiVersion: domainsnapshot.io/v1alpha1
kind: DomainSnapshot
metadata: {name: ${name}, namespace: default}
spec: {domainRef: {name: nowhere}, memory: {snapshot: external}}
`;

const failed = async (name: string) => {
  await plane.apply(domain(name));
  await plane.kubectl(["wait", "--for=jsonpath={.status.phase}=Failed", `dsnap/${name}`, "--timeout=30s"]);
};

test("two operators take turns: the second leads as soon as the first has stopped in order", async () => {
  await using first = startOperator("operator-a");
  await failed("while-a-leads");
  expect(await holder()).toBe("operator-a");
  await using second = startOperator("operator-b");
  await first.stop("SIGTERM");
  expect(await first.exited).toBe(0);
  await failed("while-b-leads");
  expect(await holder()).toBe("operator-b");
  await second.stop("SIGINT");
  expect(await second.exited).toBe(0);
  expect(await holder()).toBe("");
}, 120_000);

test("an operator without credentials says what is missing and ends", async () => {
  await using lost = new ManagedProcess({
    name: "lost",
    argv: mainArgv("operator", []),
    logFile: join(plane.dir, "lost.log"),
    env: { KUBERNETES_SERVICE_HOST: "" },
  });
  expect(await lost.exited).toBe(1);
  expect(lost.log).toContain("KUBERNETES_SERVICE_HOST is not set");
}, 30_000);
