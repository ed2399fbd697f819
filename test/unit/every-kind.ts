/** One operator of each kind, and the image that they are laid over. */
import { link, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import type { Operator } from "../../state-ops/control.ts";
import { sampleOperator } from "../samples/operator.ts";

const operator = sampleOperator;
const file = (path: string, words: Partial<Operator>) => operator(path, { kind: "file", seed: "none", ...words });
const ephemeral = { state: "ephemeral" } as const;
const label = "system_u:object_r:etc_t:s0";

export const everyKindTree: Tree = {
  ...{ "etc/hosts": "localhost", "etc/machine-id": "", "etc/seal": "sealed", "etc/secret": "key", "etc/secret.d/key": "key" },
  ...{ "etc/conf": "", "etc/id": "", "etc/note": "", "etc/token": "", "etc/resolv.conf": link("/run/resolv.conf") },
  ...{ "var/log/first": "shipped", "var/lib": {}, "var/vendor/blob": "shipped" },
  ...{ "opt/note": "shipped", "srv/page": "shipped", run: {} },
};

/** One of each kind, with all the words that a kind can have. */
export const everyKind: Operator[] = [
  operator("/etc", { via: "overlay", context: label, mode: 0o755, owner: 1, group: 2 }),
  file("/etc/conf", { state: "shared", seed: "literal", literal: "made = here\n", mode: 0o640, reason: "r" }),
  file("/etc/id", { state: "identity", generate: "uuid", renamedFrom: "former" }),
  file("/etc/machine-id", { state: "identity", generate: "machine-id" }),
  file("/etc/note", { ...ephemeral, seed: "literal", literal: "in memory\n" }),
  file("/etc/resolv.conf", { ...ephemeral, via: "symlink", target: "/run/resolv.conf" }),
  operator("/etc/seal", { state: null, via: "readonly", kind: "file" }),
  file("/etc/secret", { state: null, via: "mask" }),
  operator("/etc/secret.d", { state: null, via: "mask", seed: "none" }),
  file("/etc/token", { generate: "random", context: label }),
  operator("/opt", { ...ephemeral, via: "overlay", size: 65536, inodes: 20, context: label }),
  operator("/run/app", { ...ephemeral, via: "tmpfs", seed: "none", mode: 0o700, owner: 7 }),
  operator("/run/big", { ...ephemeral, via: "tmpfs", seed: "none", size: 65536, inodes: 9 }),
  file("/run/latest", { ...ephemeral, via: "symlink", target: "/var/latest" }),
  operator("/srv", { ...ephemeral, via: "tmpfs", context: label }),
  operator("/var", { flags: ["nodev", "noexec", "nosuid"], context: label }),
  file("/var/latest", { ...ephemeral, via: "symlink", target: "/srv" }),
  operator("/var/vendor", { state: null, via: "readonly" }),
];

/** Variants that are laid by other calls. */
export const moreKinds: Operator[] = [
  operator("/etc", { ...ephemeral, via: "overlay" }),
  file("/etc/conf", { ...ephemeral, seed: "literal", literal: "limited\n", size: 8192, inodes: 8 }),
  file("/etc/note", { ...ephemeral, seed: "none" }),
  operator("/etc/secret.d", { state: null, via: "mask", seed: "none", context: label, flags: ["nodev", "noexec", "nosuid"] }),
  operator("/opt", { ...ephemeral, via: "tmpfs", size: 65536, inodes: 50 }),
  operator("/opt/note", { state: null, via: "readonly", kind: "file" }),
  operator("/run/dev", { ...ephemeral, via: "tmpfs", seed: "none", flags: [] }),
  file("/run/deep/er/file", { ...ephemeral, seed: "literal", literal: "in memory\n" }),
  operator("/srv", { via: "overlay", flags: ["nosymfollow"] }),
];
