// A custom resource for tests of the Kubernetes runtime: status subresource, a bound to violate, a field to select by.

import type { ApiResource, KubeObject } from "../../src/kube/kube-object.ts";

export interface Widget extends KubeObject {
  readonly spec?: { readonly size?: number; readonly node?: string };
  readonly status?: { readonly phase?: string; readonly owner?: string };
}

export const widgets: ApiResource = {
  group: "test.io",
  version: "v1",
  kind: "Widget",
  plural: "widgets",
  namespaced: true,
};
const text = { type: "string" };
const widgetSchema = {
  type: "object",
  properties: {
    spec: { type: "object", properties: { size: { type: "integer", maximum: 100 }, node: text } },
    status: { type: "object", properties: { phase: text, owner: text } },
  },
};
export const widgetCrd = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.test.io" },
  spec: {
    group: "test.io",
    scope: "Namespaced",
    names: { kind: "Widget", plural: "widgets", singular: "widget", listKind: "WidgetList" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        selectableFields: [{ jsonPath: ".spec.node" }],
        schema: { openAPIV3Schema: widgetSchema },
      },
    ],
  },
};
