/** What compiles, and will surprise: warnings about operators that are each sound. */
import type { Operator } from "./control.ts";
import type { ImageTree } from "./image-tree.ts";
import { KEYED_FILES } from "./merge/keyed-files.ts";
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

/** Files that the programs which change them replace by rename. */
const renamedOver = new Set(["hostname", "localtime", ...KEYED_FILES].map((name) => `/etc/${name}`));

const nameOfFile = /^\/etc\/[^/]+$|\.(conf|cfg|ini|json|ya?ml|toml|xml|txt|db|sqlite|key|pem|crt|log|env)$/;

/** All advice. */
export function adviceOn(operators: readonly Operator[], image: ImageTree): Advice[] {
  const byPath = new Map(operators.map((operator) => [operator.path, operator]));
  return [...engineAdvice(byPath, image), ...varAdvice(byPath), ...operators.flatMap((operator) => fileAdvice(operator, image))];
}

function fileAdvice(operator: Operator, image: ImageTree): Advice[] {
  const { path, kind, via } = operator;
  if (via === "bind" && renamedOver.has(path)) {
    const text = `${path} is replaced by rename when it is changed (passwd, useradd, hostnamectl), which fails on a mount point; declare /etc as an overlay with "merge: keyed"`;
    return [{ operator, key: "path", text }];
  }
  if (kind === "directory" && nameOfFile.test(path) && image.look(path) === null) {
    const text = `the image has nothing at ${path}, so that a directory is made there; if a file is meant, put it into the image, an empty one at least`;
    return [{ operator, key: "path", text }];
  }
  return [];
}

function engineAdvice(byPath: ReadonlyMap<string, Operator>, image: ImageTree): Advice[] {
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
  return advice;
}

function varAdvice(byPath: ReadonlyMap<string, Operator>): Advice[] {
  const whole = byPath.get("/var");
  if (whole?.state !== "shared") return [];
  const text =
    "all of /var is shared: a rollback meets package data and databases that a newer image wrote; share the directories that need it";
  return [{ operator: whole, key: "state", text }];
}
