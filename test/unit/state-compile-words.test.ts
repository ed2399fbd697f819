/** Each word of an operator: what it becomes in the control file, and what it cannot be said with. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Operator } from "../../state-ops/control.ts";
import { compileTexts, fragment, problemsOf, sampleDirectories, sampleTree } from "../samples/compile.ts";
import { sampleImage } from "../samples/image.ts";

const image = sampleImage({ ...sampleTree, "/opt/link": { target: "/run/x" }, "/opt/empty": "" }, sampleDirectories);

/** The operator at the path of the first of `operators`. */
function operatorOf(...operators: string[]): Operator {
  const path = /path: ([^,]+)/.exec(operators[0] ?? "")?.[1];
  const { control } = compileTexts({ fragments: { "x.yaml": fragment(operators) }, image });
  const found = control.operators.find((operator) => operator.path === path);
  assert.ok(found, path);
  return found;
}

const home = "path: /home, state: persistent";
const varBind = "path: /var, state: persistent, via: bind";

const compiled: [string[], Partial<Operator>][] = [
  [["path: /home, state: ephemeral"], { via: "tmpfs", flags: ["nodev", "nosuid"], merge: "local", cache: false, exclude: [] }],
  [
    ["path: /srv, state: ephemeral, via: overlay, size: 4M, inodes: 50"],
    { via: "overlay", seed: "image", size: 4 << 20, inodes: 50 },
  ],
  [["path: /home, via: mask"], { via: "mask", state: null, kind: "directory", seed: "none", mode: null }],
  [["path: /srv/file, via: mask"], { via: "mask", state: null, kind: "file", seed: "none" }],
  [
    ["path: /var/lib/dpkg, via: readonly, flags: [noexec]", varBind],
    { via: "readonly", state: null, seed: "image", flags: ["nodev", "noexec", "nosuid"] },
  ],
  [
    ["path: /opt/link, state: ephemeral, via: symlink, target: /run/x"],
    { via: "symlink", kind: "file", seed: "none", target: "/run/x", mode: null, owner: null },
  ],
  [["path: /opt/empty, state: ephemeral, via: bind"], { via: "bind", kind: "file", seed: "none" }],
  [
    ['path: /opt/empty, state: persistent, via: bind, seed: { literal: "a\\nb" }'],
    { seed: "literal", literal: "a\nb", kind: "file" },
  ],
  [
    ['path: /home/x, state: persistent, via: bind, seed: { literal: "" }', home],
    { seed: "literal", literal: "", kind: "file", mode: null },
  ],
  [
    ["path: /opt/empty, state: shared, reason: r, generate: uuid"],
    { generate: "uuid", kind: "file", seed: "none", via: "bind", mode: null },
  ],
  [["path: /home/key, state: identity, generate: random", home], { generate: "random", kind: "file", mode: 0o600 }],
  [['path: /home/key, state: identity, generate: random, mode: "0640"', home], { mode: 0o640 }],
  [
    ["path: /home, state: persistent, context: system_u:object_r:home_t:s0-s0:c0.c1023"],
    { context: "system_u:object_r:home_t:s0-s0:c0.c1023" },
  ],
  [["path: /home, state: persistent, context: u:r:t"], { context: "u:r:t" }],
  [["path: /home, state: persistent, flags: [suid, noexec]"], { flags: ["nodev", "noexec"] }],
  [["path: /home, state: persistent, flags: [dev, nosymfollow]"], { flags: ["nosuid", "nosymfollow"] }],
  [["path: /home, state: persistent, flags: [nodev, exec]"], { flags: ["nodev", "nosuid"] }],
  [["path: /home, state: persistent, flags: []"], { flags: ["nodev", "nosuid"] }],
  [["path: /home, state: persistent, merge: fail"], { merge: "fail" }],
  [["path: /etc, state: persistent, merge: keyed"], { merge: "keyed", via: "overlay" }],
  [["path: /home, state: persistent, cache: true"], { cache: true }],
  [["path: /home, state: persistent, cache: false"], { cache: false }],
  [["path: /home, state: persistent, exclude: [a, '**/*.sock']"], { exclude: ["a", "**/*.sock"] }],
  [["path: /home, state: shared, reason: r, renamed-from: old"], { renamedFrom: "old" }],
  [['path: /home, state: shared, reason: " counts\\n  up\\n"'], { reason: "counts up" }],
  [["path: /home, state: persistent, on-failure: degraded"], { onFailure: "degraded" }],
  [['path: /home/new, state: persistent, mode: "1777"', home], { mode: 0o1777, owner: 0, group: 0, kind: "directory" }],
];

for (const [operators, wanted] of compiled) {
  test(`{ ${operators[0]} }`, () => {
    const operator = operatorOf(...operators);
    assert.equal({ ...operator, ...wanted }, operator);
  });
}

/** What is refused, and the key that the place of the message is the value of. */
const refused: [string, string, RegExp][] = [
  ["path: /home", "", /"state" is missing; it must be ephemeral or persistent or shared or identity, or "via:" mask or readonly/],
  ["path: /home, via: bind", "", /"state" is missing/],
  ["path: /home, via: mask, state: persistent", "via", /"via: mask" keeps no write, so that "state: persistent" has no meaning/],
  ["path: /home, via: readonly, state: ephemeral", "via", /"via: readonly" keeps no write/],
  ["path: /home, via: overlay, state: identity", "via", /share one upper layer of identity state; use "via: bind"/],
  ["path: /home, via: tmpfs, state: shared, reason: r", "via", /would lose shared state at every reboot/],
  ["path: /home, via: bind, state: ephemeral", "via", /an ephemeral directory is a tmpfs; leave "via: bind" away/],
  ["path: /opt/empty, via: tmpfs, state: ephemeral", "via", /this is a file, and "via: tmpfs" needs a directory/],
  ["path: /opt/empty, state: ephemeral", "path", /is a file: programs replace files by rename/],
  ["path: /home, state: shared", "state", /say why in "reason:"/],
  ['path: /home, state: shared, reason: " "', "state", /say why in "reason:"/],
  [
    "path: /home, state: shared, reason: r, merge: image",
    "merge",
    /"merge" is for persistent state in a store that is cloned, and this is shared directory/,
  ],
  ["path: /home, state: shared, reason: r, merge: local", "merge", /"merge" is for persistent state/],
  ["path: /home, state: ephemeral, merge: local", "merge", /"merge" is for persistent state/],
  ["path: /home, state: persistent, cache: true, merge: image", "merge", /via bind, a cache; leave it away/],
  [
    "path: /home, state: persistent, cache: true, exclude: [a]",
    "exclude",
    /"exclude" is for a persistent directory that is cloned/,
  ],
  ["path: /home, state: ephemeral, exclude: [a]", "exclude", /"exclude" is for a persistent directory/],
  ["path: /opt/empty, state: persistent, via: bind, exclude: [a]", "exclude", /"exclude" is for a persistent directory/],
  ["path: /home, state: persistent, exclude: [/a]", "exclude", /the glob "\/a" is no path below the store/],
  ["path: /home, state: persistent, exclude: ['a**']", "exclude", /stands for whole names/],
  ["path: /home, state: persistent, exclude: a", "exclude", /"exclude" must be a list of globs, is "a"/],
  ["path: /home, state: identity, cache: true", "cache", /"cache" is for persistent state in a store/],
  ["path: /home, state: ephemeral, cache: false", "cache", /"cache" is for persistent state in a store/],
  ["path: /home, state: persistent, cache: yes", "cache", /"cache" must be true or false, is "yes"/],
  ["path: /home, state: ephemeral, renamed-from: x", "renamed-from", /"renamed-from" is for state that is kept in a store/],
  ["path: /home, state: persistent, renamed-from: home", "renamed-from", /is the id that it has/],
  ["path: /home, state: persistent, renamed-from: ../x", "renamed-from", /cannot name a store/],
  [
    "path: /home, state: persistent, size: 1M",
    "size",
    /"size" limits a directory in memory, and this is persistent directory, via bind/,
  ],
  ["path: /srv, state: persistent, via: overlay, inodes: 5", "inodes", /"inodes" limits a directory in memory/],
  ["path: /opt/empty, state: ephemeral, via: bind, size: 1M", "size", /"size" limits a directory in memory/],
  ["path: /home, state: ephemeral, inodes: 1", "inodes", /"inodes" must be a whole number from 2 on, is 1/],
  ["path: /home, state: ephemeral, inodes: 99999999999999999999", "inodes", /"inodes" must be a whole number from 2 on/],
  ["path: /home, state: ephemeral, size: 99999999999999G", "size", /is no limit for a tmpfs/],
  ["path: /home, state: persistent, target: /tmp", "target", /"target" is what "via: symlink" points to/],
  ["path: /opt/link, state: ephemeral, via: symlink", "via", /"via: symlink" needs "target:"/],
  ["path: /opt/link, state: ephemeral, via: symlink, target: run/x", "target", /the path "run\/x" is not absolute/],
  ["path: /opt/link, state: ephemeral, via: symlink, target: /run/../x", "target", /is not canonical/],
  ["path: /opt/link, state: ephemeral, via: symlink, target: /tmp/x", "target", /of ephemeral state is not below \/run/],
  [
    "path: /opt/link, state: persistent, via: symlink, target: /run/x",
    "target",
    /is below \/run, where nothing outlives a reboot/,
  ],
  ["path: /opt/link, state: persistent, via: symlink, target: /opt/link/x", "target", /leads to itself/],
  ['path: /opt/link, state: ephemeral, via: symlink, target: /run/x, mode: "0700"', "mode", /"mode" is of a store or of memory/],
  ["path: /opt/link, state: ephemeral, via: symlink, target: /run/x, flags: [noexec]", "flags", /"flags" is of a mount/],
  [
    "path: /opt/link, state: ephemeral, via: symlink, target: /run/x, seed: image",
    "seed",
    /has no content of its own; leave seed away/,
  ],
  [
    "path: /opt/link, state: ephemeral, via: symlink, target: /run/x, on-failure: degraded",
    "on-failure",
    /says whether memory may stand in/,
  ],
  ["path: /home, via: mask, owner: app", "owner", /"owner" is of a store or of memory, and this is directory, via mask/],
  ["path: /home, via: mask, context: a:b:c", "context", /"context" is of a store/],
  ["path: /home, via: mask, seed: image", "seed", /has no content of its own/],
  ["path: /home, via: mask, flags: [nodev]", "flags", /"flags" is of a mount/],
  ["path: /home, via: mask, on-failure: degraded", "on-failure", /whether memory may stand in/],
  ["path: /srv, via: overlay, state: persistent, seed: none", "seed", /"via: overlay" always shows the image/],
  ["path: /home, via: readonly, seed: none", "seed", /"via: readonly" always shows the image/],
  ['path: /home, via: readonly, mode: "0700"', "mode", /"mode" is of a store/],
  ["path: /home, state: persistent, flags: [nodev, dev]", "flags", /dev and nodev are each other's opposite/],
  ["path: /home, state: persistent, flags: [noexec, noexec]", "flags", /the flag noexec is said twice/],
  ["path: /home, state: persistent, flags: [ro]", "flags", /must be nodev or dev or nosuid/],
  ["path: /home, state: persistent, flags: noexec", "flags", /must be a list of mount flags/],
  ["path: /home, state: persistent, context: home_t", "context", /is no SELinux label; write user:role:type/],
  ["path: /home, state: persistent, context: 'a:b:c d'", "context", /is no SELinux label/],
  ["path: /home, state: persistent, merge: theirs", "merge", /"merge" must be local or image or keyed or fail, is "theirs"/],
  ["path: /home, state: persistent, on-failure: ignore", "on-failure", /"on-failure" must be required or degraded/],
  ["path: /opt/empty, state: identity, generate: password", "generate", /"generate" must be machine-id or uuid or random/],
  [
    "path: /opt/empty, state: identity, generate: uuid, seed: { literal: x }",
    "generate",
    /makes a file of nothing, and here is "seed: literal"/,
  ],
  [
    "path: /home, state: persistent, seed: { literal: x }",
    "path",
    /is a directory in the image, and a literal is the content of a file/,
  ],
  [
    "path: /home, state: persistent, seed: { text: x }",
    "seed",
    /"seed" must be image or none or \{ literal: "text" \}, is a map/,
  ],
  ["path: /home, state: persistent, seed: [image]", "seed", /"seed" must be image or none or .*, is a list/],
  [
    `path: /opt/empty, state: persistent, via: bind, seed: { literal: ${"x".repeat(70_000)} }`,
    "seed",
    /the literal has 70000 bytes, more than 65536/,
  ],
  ['path: "/home/\\u202egnp", state: ephemeral', "path", /the path "\/home\/\\u202egnp" has a character that does not show/],
  ['path: "/home/\\0", state: ephemeral', "path", /the path "\/home\/\\u0000" has a character that does not show/],
  ['path: /home, state: shared, reason: "\\e[31m"', "reason", /the reason has characters that do not show/],
  ["path: /home, state: persistent, override: a/b", "override", /"override" must be a package name/],
];

for (const [operator, key, message] of refused) {
  test(`refused: { ${operator.slice(0, 150)} }`, () => {
    const lines = problemsOf({ fragments: { "x.yaml": fragment([operator]) }, image });
    assert.is(lines.length, 1, lines.join("\n"));
    const [line = ""] = lines;
    assert.match(line, message);
    const text = `  - { ${operator} }`;
    const column = key === "" ? 5 : text.indexOf(` ${key}: `) + key.length + 4;
    const place = Number(/^x\.yaml:3:(\d+): /.exec(line)?.[1]);
    assert.ok(place === column || (text[column - 1] === "[" && place > column), `${line} should be at column ${column}`);
  });
}

test("several words that have no meaning are told together", () => {
  const operator = "path: /home, state: ephemeral, cache: true, merge: image, renamed-from: x";
  assert.is(problemsOf({ fragments: { "x.yaml": fragment([operator]) } }).length, 3);
});

test("an override replaces what it names, even what does not fit the image", () => {
  const vendor = fragment(["path: /opt/none, state: persistent", "path: /home, state: persistent"], "vendor");
  const integrator = fragment(["path: /home, state: ephemeral, override: vendor"], "product");
  const broken = fragment(["path: /srv, state: persistent, seed: none"], "broken");
  const mended = fragment(["path: /srv, state: persistent, override: broken"], "product");
  const { control } = compileTexts({
    fragments: { "a.yaml": vendor.replace("/opt/none", "/tmp"), "b.yaml": integrator, "c.yaml": broken, "d.yaml": mended },
  });
  assert.equal(
    control.operators.map(({ path, state, origin }) => `${path} ${state} ${origin}`),
    ["/home ephemeral product/b.yaml:3", "/srv persistent product/d.yaml:3", "/tmp persistent vendor/a.yaml:3"],
  );
});

test("the order of fragments and of the words in them changes no byte", () => {
  const one = { "a.yaml": fragment([home, "path: /tmp, state: ephemeral"]), "b.yaml": fragment([varBind]) };
  const other = { "b.yaml": fragment(["state: persistent, via: bind, path: /var"]), "a.yaml": one["a.yaml"] };
  assert.is(compileTexts({ fragments: one }).text, compileTexts({ fragments: other }).text);
});

test.run();
