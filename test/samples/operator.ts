/** An operator for tests: persistent, a bind of a directory that the image seeds, and nothing else said. */
import type { Operator } from "../../state-ops/control.ts";

/** Its id is the path with dashes. */
export function sampleOperator(path: string, change: Partial<Operator> = {}): Operator {
  return {
    id: path.slice(1).replaceAll("/", "-"),
    path,
    kind: "directory",
    state: "persistent",
    via: "bind",
    seed: "image",
    literal: null,
    mode: null,
    owner: null,
    group: null,
    context: null,
    flags: ["nodev", "nosuid"],
    size: null,
    inodes: null,
    target: null,
    merge: "local",
    onFailure: "required",
    cache: false,
    exclude: [],
    generate: null,
    renamedFrom: null,
    reason: null,
    origin: "app/state.yaml:3",
    ...change,
  };
}
