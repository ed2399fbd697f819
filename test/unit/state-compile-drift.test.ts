/** What the compiler says of an image beside the one that devices run, and what it only warns of. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ControlFile } from "../../state-ops/control.ts";
import { compileTexts, fragment, problemsOf, sampleDirectories, sampleTree } from "../samples/compile.ts";
import { type SampleFile, sampleImage } from "../samples/image.ts";

function imageWith(more: Record<string, SampleFile> = {}) {
  return sampleImage({ ...sampleTree, ...more }, sampleDirectories);
}

function control(operators: string[], more: Record<string, SampleFile> = {}): ControlFile {
  return compileTexts({ fragments: { "x.yaml": fragment(operators) }, image: imageWith(more) }).control;
}

/** Problems and warnings of `operators` after `before`. */
function after(before: ControlFile, operators: string[], more: Record<string, SampleFile> = {}) {
  const sources = { fragments: { "x.yaml": fragment(operators) }, image: imageWith(more), previous: before };
  const problems = problemsOf(sources);
  return { problems, warnings: problems.length > 0 ? [] : compileTexts(sources).warnings };
}

const fine = { problems: [], warnings: [] };
const home = "path: /home, state: persistent, id: h";

/** Before, after, what is refused (null: nothing) and what is warned of (null: nothing). */
const stores: [string, string, string, RegExp | null, RegExp | null][] = [
  ["nothing changed", home, home, null, null],
  ["another path", home, "path: /srv, state: persistent, id: h", null, null],
  [
    "overlay instead of bind",
    home,
    `${home}, via: overlay`,
    /^x\.yaml:3:13: \/home was persistent, directory, via bind .*\(p\/x\.yaml:3\) and is persistent, directory, via overlay: .*would not be found/,
    null,
  ],
  ["shared instead of persistent", home, "path: /home, state: shared, reason: r, id: h", /would not be found/, null],
  ["identity instead of shared", "path: /home, state: shared, reason: r", "path: /home, state: identity", null, null],
  ["memory instead of a store", home, "path: /home, state: ephemeral, id: h", /is ephemeral, directory, via tmpfs/, null],
  ["a mask instead of a store", home, "path: /home, via: mask, id: h", /and is directory, via mask/, null],
  ["a store instead of memory", "path: /home, state: ephemeral, id: h", home, null, null],
  ["a renamed store", home, "path: /home, state: persistent, id: new, renamed-from: h", null, null],
  [
    "a renamed store of another class",
    home,
    "path: /home, state: identity, id: new, renamed-from: h",
    /was persistent, directory, via bind/,
    null,
  ],
  [
    "a store that nobody has",
    home,
    "path: /home, state: persistent, id: new",
    null,
    /^system\.yaml:1:1: \/home was persistent .* no operator has its store "h" now; if it moved, say "renamed-from: h"$/,
  ],
  [
    "another owner",
    `${home}, owner: 7`,
    `${home}, owner: app`,
    null,
    /^x\.yaml:3:13: \/home: the number of its owner was 7 .* and is 101/,
  ],
];

for (const [name, before, now, problem, warning] of stores) {
  test(`against the previous control file: ${name}`, () => {
    const { problems, warnings } = after(control([before]), [now]);
    assert.is(problems.length, problem === null ? 0 : 1, problems.join("\n"));
    assert.is(warnings.length, warning === null ? 0 : 1, warnings.join("\n"));
    if (problem !== null) assert.match(problems[0] ?? "", problem);
    if (warning !== null) assert.match(warnings[0] ?? "", warning);
  });
}

const passwd = (number: number) => ({ "/etc/passwd": `root:x:0:0::/:/x\napp:x:${number}:102::/:/x\n` });
const group = (number: number) => ({ "/etc/group": `root:x:0:\napp:x:${number}:\n` });

test("a user's number that changed is an error that names it, both numbers and the remedy", () => {
  const [line, ...more] = after(control([home]), [home], passwd(107)).problems;
  assert.equal(more, []);
  assert.match(
    line ?? "",
    /^\/etc\/passwd:2:1: the user "app" has the number 107 in this image and 101 in the previous control file.*static number 101 in the image's sysusers or passwd$/,
  );
});

test("a group's number too", () => {
  assert.match(
    after(control([home]), [home], group(9)).problems.join("\n"),
    /^\/etc\/group:2:1: the group "app" has the number 9 .* and 102/,
  );
});

test("numbers do not matter where nothing was kept, nor names that came or went", () => {
  const ephemeral = "path: /home, state: ephemeral";
  assert.equal(after(control([ephemeral]), [ephemeral], passwd(107)), fine);
  assert.equal(after(control([home]), [home], { "/etc/passwd": "root:x:0:0::/:/x\nnew:x:300:300::/:/x\n" }), fine);
});

test("a number that another name had is a warning", () => {
  const { warnings } = after(control([home]), [home], { "/etc/passwd": "root:x:0:0::/:/x\nnew:x:101:300::/:/x\n" });
  assert.match(warnings.join("\n"), /^\/etc\/passwd:2:1: the user "new" has the number 101, which was that of "app"/);
});

test("accounts are what getpwnam finds: the first line of a name, whole numbers that a kernel takes", () => {
  const text = "a:x:1:1::/:/x\na:x:2:2::/:/x\nb:x:4294967295:1::/:/x\nc:x:-1:1::/:/x\n+::::::\n\nd\n__proto__:x:5:5::/:/x\n";
  const { users } = control([], { "/etc/passwd": text }).accounts;
  assert.equal(Object.entries(users), [
    ["__proto__", 5],
    ["a", 1],
  ]);
});

const etc = "path: /etc, state: persistent, via: overlay";

/** Operators, what the image has besides, and what is warned of (null: nothing). */
const advice: [string, string[], Record<string, SampleFile>, RegExp | null][] = [
  [
    "a docker store in an overlay",
    ["path: /var, state: persistent, via: overlay"],
    { "/var/lib/docker/x": "" },
    /^x\.yaml:3:13: a container engine puts overlays on \/var\/lib\/docker, .* on an overlay in \/var; declare \/var\/lib\/docker with "via: bind" as an operator of its own$/,
  ],
  [
    "podman without its store yet",
    ["path: /var/lib, state: persistent, via: overlay"],
    { "/usr/bin/podman": "x" },
    /on \/var\/lib\/containers, .* in \/var\/lib; declare/,
  ],
  [
    "containerd's own overlay",
    ["path: /var/lib/containerd, state: persistent, via: overlay"],
    { "/var/lib/containerd/x": "" },
    /declare \/var\/lib\/containerd with "via: bind"$/,
  ],
  ["an overlay in memory", ["path: /var, state: ephemeral, via: overlay"], { "/usr/bin/dockerd": "x" }, /\/var\/lib\/docker/],
  [
    "a store of its own",
    ["path: /var, state: persistent, via: overlay", "path: /var/lib/docker, state: persistent, via: bind"],
    { "/var/lib/docker/x": "" },
    null,
  ],
  [
    "a store between",
    ["path: /var, state: persistent, via: overlay", "path: /var/lib, state: persistent, via: bind"],
    { "/var/lib/docker/x": "" },
    null,
  ],
  ["no overlay", ["path: /var, state: persistent, via: bind"], { "/var/lib/docker/x": "" }, null],
  ["no engine", ["path: /var, state: persistent, via: overlay"], {}, null],
  ["all of /var shared", ["path: /var, state: shared, reason: r"], {}, /^x\.yaml:3:26: all of \/var is shared/],
  [
    "a file that passwd replaces",
    ["path: /etc/passwd, state: persistent, via: bind"],
    {},
    /^x\.yaml:3:13: \/etc\/passwd is replaced by rename .*declare \/etc as an overlay with "merge: keyed"$/,
  ],
  [
    "a directory where a file is meant",
    [etc, "path: /etc/hosts, state: persistent"],
    {},
    /^x\.yaml:4:13: the image has nothing at \/etc\/hosts, so that a directory is made there/,
  ],
  [
    "a directory by the name of a file",
    [etc, "path: /etc/app/app.conf, state: persistent"],
    {},
    /nothing at \/etc\/app\/app\.conf/,
  ],
  ["a directory that the image has", [etc, "path: /etc/app, state: persistent"], { "/etc/app/x": "" }, null],
  ["a directory below", [etc, "path: /etc/app/units.d, state: persistent"], {}, null],
  [
    "a host key in the image",
    [etc],
    { "/etc/ssh/ssh_host_rsa_key": "x" },
    /^\/etc\/ssh\/ssh_host_rsa_key:1:1: all devices with this image would have this private key; take it out/,
  ],
  ["no secret", [etc], { "/etc/ssh/ssh_host_rsa_key.pub": "x", "/etc/ssh/ssh_host_rsa_key": "" }, null],
  [
    "a machine id in the image",
    [],
    { "/etc/machine-id": "0123456789abcdef0123456789abcdef\n" },
    /^\/etc\/machine-id:1:1: all devices with this image would have this machine id/,
  ],
  ["a part of /var shared", ["path: /var/lib, state: shared, reason: r"], {}, null],
];

for (const [name, operators, more, warning] of advice) {
  test(`advice: ${name}`, () => {
    const { warnings } = compileTexts({ fragments: { "x.yaml": fragment(operators) }, image: imageWith(more) });
    assert.is(warnings.length, warning === null ? 0 : 1, warnings.join("\n"));
    if (warning !== null) assert.match(warnings[0] ?? "", warning);
  });
}

test.run();
