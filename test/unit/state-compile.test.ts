import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Compiled } from "../../state-ops/compile.ts";
import type { ControlFile, Operator } from "../../state-ops/control.ts";
import { escapePath } from "../../state-ops/image-tree.ts";
import { CompileError } from "../../state-ops/problems.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { compileTexts, fragment as fragmentOf, sampleSystem as systemText } from "../samples/compile.ts";

function fragment(...operators: string[]): string {
  return fragmentOf(operators);
}

function build(fragments: Record<string, string>, system = systemText, previous: ControlFile | null = null): Compiled {
  return compileTexts({ fragments, system, previous });
}

function operatorsOf(...operators: string[]): Operator[] {
  return build({ "x.yaml": fragment(...operators) }).control.operators;
}

function linesOf(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    assert.instance(error, CompileError, String(error));
    return error instanceof CompileError ? error.lines : [];
  }
  assert.unreachable("it compiled");
  return [];
}

test("system.yaml becomes the control file's first half, slots in its order, defaults filled in", () => {
  const { control, warnings } = build({});
  const { digest: _, ...rest } = control;
  assert.equal(rest, {
    schema: 1,
    system: "acme",
    slots: [
      { name: "b", device: "PARTLABEL=root-b" },
      { name: "a", device: "PARTLABEL=root-a" },
    ],
    disk: null,
    data: { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "refuse", grow: false, create: false },
    bootRecord: { store: "record", device: "PARTLABEL=boot-record" },
    chooser: "slipway",
    tries: { trial: 3, committed: 10 },
    trialDeadline: 600,
    deviceTimeout: 30,
    watchdog: null,
    commandLine: "open",
    trust: { mode: "unsigned" },
    recovery: DEFAULT_RECOVERY,
    install: null,
    accounts: { users: { root: 0, app: 101 }, groups: { root: 0, app: 102 } },
    operators: [],
  });
  assert.equal(warnings, []);
});

test("slots may be files, with sizes in bytes", () => {
  const files =
    "slots:\n  b: { file: images/b.img, size: 600M }\n  a: { device: PARTLABEL=root-a }\n  c: { file: images/c_2-x, size: 4096000 }\n";
  const { control } = build({}, systemText.replace(/slots:\n.*\n.*\n/, files));
  assert.equal(control.slots, [
    { name: "b", file: "images/b.img", size: 600 * 1024 * 1024 },
    { name: "a", device: "PARTLABEL=root-a" },
    { name: "c", file: "images/c_2-x", size: 4096000 },
  ]);
});

test("everything that system.yaml can say is taken over", () => {
  const more = `disk: /dev/disk0
chooser: slipway
tries: { committed: 5 }
trial-deadline: 2min
device-timeout: 45
watchdog: { timeout: 30s, after: keep }
command-line: locked
`;
  const { control } = build({}, systemText + more);
  const { disk, tries, trialDeadline, deviceTimeout, watchdog, commandLine } = control;
  assert.equal(
    { disk, tries, trialDeadline, deviceTimeout, watchdog, commandLine },
    {
      disk: "/dev/disk0",
      tries: { trial: 3, committed: 5 },
      trialDeadline: 120,
      deviceTimeout: 45,
      watchdog: { timeout: 30, after: "keep" },
      commandLine: "locked",
    },
  );
});

test("a data filesystem that was replaced is refused unless it says adopt", () => {
  const adopt = systemText.replace("filesystem: ext4", "filesystem: ext4, when-replaced: adopt");
  assert.is(build({}, adopt).control.data?.whenReplaced, "adopt");
  const [line] = linesOf(() => build({}, adopt.replace("adopt", "format")));
  assert.match(line ?? "", /^system\.yaml:5:\d+: "when-replaced" must be refuse or adopt, is "format"/);
});

test("no trust is a warning", () => {
  assert.match(build({}, systemText.replace("trust: unsigned\n", "")).warnings.join("\n"), /^system\.yaml:1:1: no "trust"/);
});

interface Derived {
  declared: string;
  wanted: Partial<Operator>;
}

const derived: Derived[] = [
  {
    declared: "path: /tmp, state: ephemeral",
    wanted: { via: "tmpfs", seed: "none", kind: "directory", mode: null, owner: null, id: "tmp" },
  },
  { declared: "path: /var/lib, state: ephemeral", wanted: { via: "tmpfs", seed: "image" } },
  { declared: "path: /var/lib, state: persistent", wanted: { via: "bind", seed: "image", id: "var-lib" } },
  { declared: "path: /var/lib/empty, state: persistent", wanted: { via: "bind", seed: "none" } },
  { declared: "path: /var, state: persistent, via: overlay", wanted: { via: "overlay", seed: "image" } },
  { declared: "path: /etc, state: persistent", wanted: { via: "overlay", seed: "image" } },
  { declared: "path: /etc/ssh, state: persistent", wanted: { via: "bind", seed: "none" } },
  { declared: "path: /srv, state: shared, reason: r", wanted: { via: "bind", seed: "image", reason: "r" } },
  { declared: "path: /etc/fstab, state: persistent, via: bind", wanted: { via: "bind", kind: "file", seed: "none" } },
  {
    declared: "path: /etc/machine-id, state: identity, generate: machine-id",
    wanted: { via: "bind", kind: "file", seed: "none", generate: "machine-id", id: "etc-machine\\x2did" },
  },
  {
    declared: 'path: /run/app, state: ephemeral, owner: app, group: app, mode: "2750", size: 8M',
    wanted: { via: "tmpfs", owner: 101, group: 102, mode: 0o2750, size: 8 << 20 },
  },
  { declared: "path: /run/other, state: ephemeral", wanted: { mode: 0o755, owner: 0, group: 0, seed: "none" } },
  {
    declared: "path: /home, state: persistent, owner: 7, on-failure: degraded, id: homes",
    wanted: { owner: 7, onFailure: "degraded", id: "homes" },
  },
];

for (const { declared, wanted } of derived) {
  test(`{ ${declared} }`, () => {
    const [operator] = operatorsOf(declared);
    assert.ok(operator);
    assert.equal({ ...operator, ...wanted }, operator);
    assert.is(operator.origin, "p/x.yaml:3");
  });
}

/** One operator that is wrong: the column is that of the value in "  - { …". */
const wrong: [string, string, RegExp][] = [
  [
    "unknown key",
    "path: /tmp, state: ephemeral, colour: red",
    /^x\.yaml:3:37: "colour" is no key that is known here; known are: path, state/,
  ],
  [
    "unknown word",
    "path: /tmp, state: forever",
    /^x\.yaml:3:26: "state" must be ephemeral or persistent or shared or identity, is "forever"/,
  ],
  ["no state", "path: /tmp", /^x\.yaml:3:5: "state" is missing; it must be ephemeral or/],
  ["a number as path", "path: 3, state: ephemeral", /^x\.yaml:3:13: "path" must be an absolute path, is 3/],
  ["a path with a dot", "path: /var/./lib, state: ephemeral", /^x\.yaml:3:13: the path "\/var\/\.\/lib" is not canonical/],
  ["a path that ends in a slash", "path: /var/, state: ephemeral", /not canonical/],
  [
    "an unquoted mode",
    "path: /tmp, state: ephemeral, mode: 0755",
    /^x\.yaml:3:43: "mode" must be quoted octal digits such as "0755", is 755/,
  ],
  [
    "an unknown user",
    "path: /tmp, state: ephemeral, owner: nobody",
    /^x\.yaml:3:44: no user "nobody" in the image's \/etc\/passwd/,
  ],
  ["an unknown group", "path: /tmp, state: ephemeral, group: nogroup", /no group "nogroup" in the image's \/etc\/group/],
  ["a small size", "path: /tmp, state: ephemeral, size: 1K", /a size of 1024 bytes is no limit/],
  [
    "a size of a bind",
    "path: /srv, state: persistent, size: 1M",
    /^x\.yaml:3:44: \/srv: "size" limits a directory in memory, and this is persistent directory, via bind/,
  ],
  ["shared without a reason", "path: /srv, state: shared", /say why in "reason:"/],
  ["the root", "path: /, state: persistent", /\/ itself cannot be/],
  ["/run", "path: /run, state: ephemeral", /\/run itself cannot be/],
  ["/usr", "path: /usr, state: ephemeral", /\/usr and everything below it is never/],
  ["below /usr", "path: /usr/local, state: persistent", /\/usr and everything below it is never/],
  ["below /proc", "path: /proc/x, state: ephemeral", /\/proc and everything/],
  ["below /sys", "path: /sys/x, state: ephemeral", /\/sys and everything/],
  ["below /dev", "path: /dev/shm, state: ephemeral", /\/dev and everything/],
  ["persistent below /run", "path: /run/x, state: persistent", /is below \/run, which is made anew/],
  [
    "nothing there in the image",
    "path: /opt/app, state: persistent",
    /^x\.yaml:3:13: \/opt is missing from the image.*\(an empty directory \/opt\/app\)/,
  ],
  [
    "a symlink on the way",
    "path: /var/run/app, state: ephemeral",
    /^x\.yaml:3:13: \/var\/run is a symlink to \/run in the image/,
  ],
  ["a symlink itself", "path: /var/run, state: ephemeral", /is a symlink to \/run/],
  ["a file on the way", "path: /srv/file/x, state: persistent", /\/srv\/file is no directory/],
  [
    "a file without via",
    "path: /srv/file, state: persistent",
    /declare its directory \/srv, point there with "via: symlink", or say "via: bind"/,
  ],
  [
    "seed none over content",
    "path: /srv, state: persistent, seed: none",
    /^x\.yaml:3:44: "seed: none" would hide what the image has at \/srv/,
  ],
  [
    "a filled file that is generated",
    "path: /srv/file, state: identity, generate: machine-id",
    /\/srv\/file has content in the image/,
  ],
  ["a persistent tmpfs", "path: /srv, state: persistent, via: tmpfs", /would lose persistent state at every reboot/],
  ["a shared overlay", "path: /srv, state: shared, reason: r, via: overlay", /^x\.yaml:3:\d+: .*would share one upper layer/],
  ["an id that climbs", "path: /srv, state: persistent, id: ../x", /the id "\.\.\/x" cannot name a store/],
];

for (const [name, operator, message] of wrong) {
  test(`refused: ${name}`, () => {
    const lines = linesOf(() => operatorsOf(operator));
    assert.is(lines.length, 1, lines.join("\n"));
    assert.match(lines[0] ?? "", message);
  });
}

test("the same operator twice is one", () => {
  const same = fragment("path: /tmp, state: ephemeral");
  const { control } = build({ "b.yaml": same, "a.yaml": same });
  assert.equal(
    control.operators.map((operator) => operator.origin),
    ["p/a.yaml:3"],
  );
});

test("every problem is told at once, sorted by file and line", () => {
  const lines = linesOf(() =>
    build(
      {
        "z.yaml": fragment("path: /tmp"),
        "b.yaml": fragment("path: /tmp, state: x", "path: /usr, state: ephemeral", "path: /tmp, x: y"),
      },
      systemText.replace("ext4", "ext3"),
    ),
  );
  assert.equal(
    lines.map((line) => line.split(": ")[0]),
    ["b.yaml:3:26", "b.yaml:4:13", "b.yaml:5:19", "system.yaml:5:49", "z.yaml:3:5"],
  );
});

/** System definitions whose slot b is as written. */
function slotFaults(faults: [what: string, slot: string, message: RegExp][]): [string, string, RegExp][] {
  return faults.map(([what, slot, message]) => [what, systemText.replace("{ device: PARTLABEL=root-b }", slot), message]);
}

const systemFaults: [string, string, RegExp][] = [
  [
    "a name that no seal can hold",
    systemText.replace("acme", "a".repeat(65)),
    /^system\.yaml:1:9: "system" must be a product name: up to 64/,
  ],
  ["another chooser", `${systemText}chooser: grub\n`, /^system\.yaml:8:10: "chooser" must be slipway or loader, is "grub"/],
  ["another word for a kernel", `${systemText}kernel: own\n`, /^system\.yaml:8:9: "kernel" must be .*loader.*slot.*, is "own"/],
  ["delegate: neither", `${systemText}delegate: maybe\n`, /^system\.yaml:8:11: "delegate" must be/],
  ["unknown key", `${systemText}slot: a\n`, /^system\.yaml:8:1: "slot" is no key that is known here; known are: system, slots/],
  [
    "a key below",
    systemText.replace("root-b }", "root-b, label: 1 }"),
    /^system\.yaml:3:34: "label" is no key .* known are: device, file, size, verity, signature, bootname/,
  ],
  [
    "a device that is none",
    systemText.replace("PARTLABEL=root-b", "root-b"),
    /^system\.yaml:3:16: "device" must be a device reference.*is "root-b"/,
  ],
  ...slotFaults([
    [
      "a signature without a tree",
      "{ device: PARTLABEL=root-b, signature: PARTLABEL=sig }",
      /^system\.yaml:3:\d+: "signature" is of the root hash of a tree; name the partition that holds that/,
    ],
    [
      "a tree beside a file",
      "{ file: images/b.img, size: 600M, verity: PARTLABEL=tree }",
      /^system\.yaml:3:\d+: "verity" is a partition beside the slot's own, and slot b is a file/,
    ],
    [
      "a tree on the slot's own partition",
      "{ device: PARTLABEL=root-b, verity: PARTLABEL=root-b }",
      /^system\.yaml:3:\d+: PARTLABEL=root-b is used twice/,
    ],
    [
      "nothing said of a slot",
      "{}",
      /^system\.yaml:3:6: slot b is nowhere; write \{ device: PARTLABEL=… \} or \{ file: images\/b/,
    ],
    [
      "device and file",
      "{ device: LABEL=x, file: images/b, size: 1M }",
      /^system\.yaml:3:16: slot b has both "device" and "file"/,
    ],
    ["a partition's size", "{ device: LABEL=x, size: 1M }", /^system\.yaml:3:31: "size" is that of a file; .* leave it out/],
    ["a file without a size", "{ file: images/b }", /^system\.yaml:3:6: "size" is missing; say what the file is allocated with/],
    ["a small file", "{ file: images/b, size: 512K }", /^system\.yaml:3:30: a slot of 524288 bytes holds no image; give it 1M/],
    ["a crooked size", "{ file: images/b, size: 1048577 }", /^system\.yaml:3:30: 1048577 bytes are no whole blocks of 4096/],
    ["a size that is none", "{ file: images/b, size: big }", /^system\.yaml:3:30: "size" must be bytes from 4096 on/],
    [
      "a huge size",
      "{ file: images/b, size: 9007199254740993G }",
      /^system\.yaml:3:30: a slot of so many bytes cannot be counted/,
    ],
    ["a file elsewhere", "{ file: gens/b, size: 1M }", /^system\.yaml:3:14: "gens\/b" is no place for a slot; write images\//],
    ["an absolute path", "{ file: /images/b, size: 1M }", /^system\.yaml:3:14: "\/images\/b" is no place for a slot/],
    ["a path that climbs", "{ file: images/../gens, size: 1M }", /"images\/\.\.\/gens" is no place for a slot/],
    ["a path that stands still", "{ file: images/./b, size: 1M }", /is no place for a slot/],
    ["an empty name", "{ file: images//b, size: 1M }", /is no place for a slot/],
    ["a directory below", "{ file: images/x/b, size: 1M }", /is no place for a slot/],
    ["a hidden file", "{ file: images/.b, size: 1M }", /is no place for a slot/],
    ["no file", "{ file: images/, size: 1M }", /is no place for a slot/],
  ]),
  [
    "one file twice",
    systemText.replace(/slots:\n.*\n.*\n/, "slots:\n  b: { file: images/x, size: 1M }\n  a: { file: images/x, size: 2M }\n"),
    /^system\.yaml:4:14: images\/x is used twice, here and at system\.yaml:3:14; give each slot its own file/,
  ],
  [
    "a file without a data filesystem",
    systemText.replace(/data:.*\n/, "").replace("{ device: PARTLABEL=root-b }", "{ file: images/b, size: 1M }"),
    /^system\.yaml:3:14: a slot that is a file lies on the data filesystem, and there is no "data:"/,
  ],
  ["a slot's name", systemText.replace("  b:", "  0b:"), /^system\.yaml:3:3: "0b" cannot name a slot/],
  ["no slots", systemText.replace(/slots:\n.*\n.*\n/, "slots: {}\n"), /"slots" is empty/],
  [
    "one partition twice",
    systemText.replace("root-b", "root-a"),
    /PARTLABEL=root-a is used twice, here and at system\.yaml:3:16/,
  ],
  ["a time", `${systemText}trial-deadline: soon\n`, /"trial-deadline" must be seconds, or a time such as .* is "soon"/],
  ["a long time", `${systemText}trial-deadline: 48h\n`, /"trial-deadline" is 48h; the longest is one day/],
  ["a key twice", `${systemText}system: other\n`, /^system\.yaml:8:1: the key \w+ is given twice/],
  ["a list as key", `${systemText}? [a]\n: b\n`, /^system\.yaml:8:3: a key must be a text/],
  ["a number as key", `${systemText}1: b\n`, /^system\.yaml:8:1: a key must be a text/],
  ["an alias", `${systemText}disk: &x LABEL=a\nchooser: *x\n`, /anchors and aliases are not read/],
  ["two documents", `${systemText}---\nsystem: x\n`, /^system\.yaml:8:1: a second document begins here/],
  ["another YAML", `%YAML 1.1\n---\n${systemText}`, /^system\.yaml:1:1: YAML 1\.1 reads words differently/],
  ["a tab", "system: x\nslots:\n\ta: 1\n", /^system\.yaml:3:1: a tab; indent with spaces$/],
  ["a key that no map has", systemText.replace("slots:", "slots:\n  __proto__: {}"), /^system\.yaml:3:3: "__proto__" cannot be/],
  ["a huge number", `${systemText}tries: { trial: 1e400 }\n`, /"trial" must be a whole number from 1 to 100, is Infinity$/],
  ["a long label", `${systemText}disk: PARTLABEL=${"x".repeat(37)}\n`, /^system\.yaml:8:7: .* is 1 to 36 printable ASCII/],
  ["what udev makes", `${systemText}disk: /dev/disk/by-label/x\n`, /^system\.yaml:8:7: .*write LABEL=x$/],
  ["no UUID", `${systemText}disk: UUID=x\n`, /^system\.yaml:8:7: .*hex digits and dashes/],
  ["a tag", `${systemText}disk: !env DISK\n`, /^system\.yaml:8:7: .*!env/],
  ["broken YAML", "system: [\n", /^system\.yaml:/],
  ["an empty file", "", /^system\.yaml:1:1: nothing is in the file; it must be a map/],
];

for (const [name, text, message] of systemFaults) {
  test(`refused in system.yaml: ${name}`, () => {
    const lines = linesOf(() => build({}, text));
    assert.match(lines[0] ?? "", message);
    assert.is(lines.length, 1);
  });
}

test("state to keep needs a data filesystem", () => {
  const system = systemText.replace(/data:.*\n/, "");
  const [line] = linesOf(() => build({ "x.yaml": fragment("path: /srv, state: persistent") }, system));
  assert.match(line ?? "", /^x\.yaml:3:26: \/srv is persistent, and system\.yaml declares no "data:"/);
  assert.is(build({ "x.yaml": fragment("path: /tmp, state: ephemeral") }, system).control.data, null);
});

test("stores are named as systemd-escape --path names a path", () => {
  // Made with systemd-escape --path of systemd 252.
  assert.is(escapePath("/var/lib/my-app"), "var-lib-my\\x2dapp");
  assert.is(escapePath("/.hidden/a.b:c_d"), "\\x2ehidden-a.b:c_d");
  assert.is(escapePath("/ü x"), "\\xc3\\xbc\\x20x");
});

test.run();
