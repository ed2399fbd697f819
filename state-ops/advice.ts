/** What compiles, and will surprise: warnings about operators that are each sound. */
import type { Operator } from "./control.ts";
import type { ImageTree } from "./image-tree.ts";
import { parentOf } from "./operator-rules.ts";

export interface Advice {
  operator: Operator;
  /** The YAML key it is about. */
  key: string;
  text: string;
}

/** Where container engines put overlays of their own, and what an image has that has the engine. */
const engineStores = new Map([
  ["/var/lib/docker", ["/usr/bin/dockerd", "/usr/sbin/dockerd"]],
  ["/var/lib/containers", ["/usr/bin/podman", "/usr/bin/crio", "/usr/bin/buildah"]],
  ["/var/lib/containerd", ["/usr/bin/containerd"]],
]);

/** All advice, in the order of the paths it is about. */
export function adviceOn(operators: readonly Operator[], image: ImageTree): Advice[] {
  const byPath = new Map(operators.map((operator) => [operator.path, operator]));
  const advice: Advice[] = [];
  for (const [store, engines] of engineStores) {
    const operator = byPath.get(store) ?? parentOf(store, byPath);
    const isUsed = [store, ...engines].some((path) => image.look(path) !== null);
    if (isUsed && operator?.via === "overlay") {
      const within = operator.path === store ? "" : ` in ${operator.path}`;
      const remedy = `declare ${store} with "via: bind"${operator.path === store ? "" : " as an operator of its own"}`;
      const text = `a container engine puts overlays on ${store}, and the kernel refuses one whose upper layer is on an overlay${within}; ${remedy}`;
      advice.push({ operator, key: "path", text });
    }
  }
  const whole = byPath.get("/var");
  if (whole?.state === "shared") {
    const text =
      "all of /var is shared: a rollback meets package data and databases that a newer image wrote; share the directories that need it";
    advice.push({ operator: whole, key: "state", text });
  }
  return advice;
}
