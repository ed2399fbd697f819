import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Compiled, compile } from "../../state-ops/compile.ts";
import type { ControlFile, Operator } from "../../state-ops/control.ts";
import { escapePath } from "../../state-ops/image-tree.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { CompileError } from "../../state-ops/problems.ts";
import { parseYaml, type SourceDocument } from "../../state-ops/schema/document.ts";
import { sampleImage } from "../samples/image.ts";

const image = sampleImage(
  {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:101:102::/:/x\n",
    "/etc/group": "root:x:0:\napp:x:102:\n",
    "/etc/machine-id": "uninitialized\n",
    "/etc/fstab": "",
    "/var/lib/dpkg/status": "x",
    "/srv/file": "content",
    "/var/run": { target: "/run" },
  },
  ["/etc/ssh", "/var/lib/empty", "/tmp", "/home"],
);

const systemText = `system: acme
slots:
  b: { device: PARTLABEL=root-b }
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: unsigned
`;

function document(file: string, text: string): SourceDocument {
  const parsed = parseYaml(file, file, text);
  if (parsed.document === null) {
    throw new CompileError(parsed.problems);
  }
  return parsed.document;
}

/** A fragment of the package "p" whose operators are the given flow maps, from line 3 on. */
function fragment(...operators: string[]): string {
  return `package: p\noperators:\n${operators.map((operator) => `  - { ${operator} }\n`).join("")}`;
}

function build(fragments: Record<string, string>, system = systemText, previous: ControlFile | null = null): Compiled {
  const documents = Object.entries(fragments).map(([file, text]) => document(file, text));
  return compile({ system: document("system.yaml", system), fragments: documents, image, previous });
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
    data: { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "refuse" },
    bootRecord: { store: "record", device: "PARTLABEL=boot-record" },
    chooser: "slipway",
    tries: { trial: 3, committed: 10 },
    trialDeadline: 600,
    deviceTimeout: 30,
    watchdog: null,
    commandLine: "open",
    trust: { mode: "unsigned" },
    accounts: { users: { root: 0, app: 101 }, groups: { root: 0, app: 102 } },
    operators: [],
  });
  assert.equal(warnings, []);
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

/** Two operators that do not go together, in two files, refused whichever comes first; both places are named. */
const pairs: [string, string, string, RegExp][] = [
  ["one path, two rules", "path: /srv, state: persistent", "path: /srv, state: ephemeral", /\/srv is declared twice/],
  ["one id", "path: /srv, state: persistent, id: s", "path: /home, state: persistent, id: s", /the id "s" of/],
  [
    "persistent below shared",
    "path: /var, state: shared, reason: r",
    "path: /var/lib, state: persistent",
    /\/var\/lib is persistent below \/var/,
  ],
  [
    "persistent below identity",
    "path: /var, state: identity",
    "path: /var/lib, state: persistent",
    /\/var\/lib is persistent below \/var/,
  ],
];

for (const [name, one, other, message] of pairs) {
  test(`refused: ${name}, each way round`, () => {
    for (const [left, right] of [
      [one, other],
      [other, one],
    ]) {
      const [line] = linesOf(() => build({ "l.yaml": fragment(left ?? ""), "r.yaml": fragment(right ?? "") }));
      assert.match(line ?? "", message);
      assert.match(
        line ?? "",
        /^(l\.yaml:3:13: .*r\.yaml:3:13 \(p\/r\.yaml:3\)|r\.yaml:3:13: .*l\.yaml:3:13 \(p\/l\.yaml:3\)|r\.yaml:3:\d+: .*l\.yaml:3|l\.yaml:3:\d+: .*r\.yaml:3)/,
      );
    }
  });
}

test("what is fine together: shared in persistent, ephemeral in either, a mount point below a bind or a tmpfs", () => {
  const operators = operatorsOf(
    "path: /var/lib/new/cache, state: ephemeral",
    "path: /var/lib/new, state: shared, reason: r",
    "path: /var/lib, state: persistent",
    "path: /tmp/a/b, state: persistent",
    "path: /tmp, state: ephemeral",
  );
  assert.equal(
    operators.map((operator) => operator.path),
    ["/tmp", "/tmp/a/b", "/var/lib", "/var/lib/new", "/var/lib/new/cache"],
  );
});

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

const systemFaults: [string, string, RegExp][] = [
  [
    "keys: not built",
    systemText.replace("trust: unsigned", "trust: { keys: [k.pem] }"),
    /^system\.yaml:7:8: image proof is not built into this version/,
  ],
  [
    "recovery: not built",
    `${systemText}recovery: { sources: [] }\n`,
    /^system\.yaml:8:1: "recovery" is not built into this version/,
  ],
  ["chooser: loader not built", `${systemText}chooser: loader\n`, /^system\.yaml:8:10: "chooser: loader" is not built/],
  ["another store", systemText.replace("store: record", "store: grubenv"), /"store: grubenv" is not built/],
  ["unknown key", `${systemText}slot: a\n`, /^system\.yaml:8:1: "slot" is no key that is known here; known are: system, slots/],
  [
    "a key below",
    systemText.replace("root-b }", "root-b, size: 1 }"),
    /^system\.yaml:3:34: "size" is no key .* known are: device/,
  ],
  [
    "a device that is none",
    systemText.replace("PARTLABEL=root-b", "root-b"),
    /^system\.yaml:3:16: "device" must be a device reference.*is "root-b"/,
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

test("against the previous control file: a store that would be lost is refused, a new number is told", () => {
  const before = build({ "x.yaml": fragment("path: /srv, state: persistent, owner: 7", "path: /tmp, state: ephemeral") }).control;
  const moved = fragment("path: /srv, state: persistent, via: overlay", "path: /tmp, state: persistent");
  const lines = linesOf(() => build({ "x.yaml": moved }, systemText, before));
  assert.is(lines.length, 1);
  assert.match(lines[0] ?? "", /^x\.yaml:3:13: \/srv was persistent, directory, via bind .* would not be found/);
  const { warnings } = build({ "x.yaml": fragment("path: /srv, state: persistent, owner: app") }, systemText, before);
  assert.match(warnings.join("\n"), /the number of its owner was 7 .* and is 101/);
});

test("stores are named as systemd-escape --path names a path", () => {
  // Made with systemd-escape --path of systemd 252.
  assert.is(escapePath("/var/lib/my-app"), "var-lib-my\\x2dapp");
  assert.is(escapePath("/.hidden/a.b:c_d"), "\\x2ehidden-a.b:c_d");
  assert.is(escapePath("/ü x"), "\\xc3\\xbc\\x20x");
});

const paths = ["/tmp", "/tmp/a", "/srv", "/home", "/home/x", "/var", "/var/lib", "/var/lib/empty", "/etc", "/run/a", "/run/a/b"];
const states = ["ephemeral", "persistent", "identity", "shared, reason: r"];
const declaration = fc
  .tuple(fc.constantFrom(...paths), fc.constantFrom(...states))
  .map(([path, state]) => `path: ${path}, state: ${state}`);
const fragmentSet = fc.dictionary(
  fc.stringMatching(/^[a-z]{1,3}\.yaml$/),
  fc.uniqueArray(declaration, { maxLength: 4, selector: (text) => text.split(",")[0] }),
  { maxKeys: 4 },
);

test("the order of files changes nothing, and what compiles has parents first and one rule a path", () => {
  let compiled = 0;
  fc.assert(
    fc.property(fragmentSet, fc.infiniteStream(fc.nat()), (set, random) => {
      const sources = Object.entries(set).map(([file, operators]): [string, string] => [file, fragment(...operators)]);
      const shuffled = sources
        .map((source) => ({ source, key: random.next().value }))
        .sort((left, right) => left.key - right.key)
        .map(({ source }) => source);
      const outcome = outcomeOf(Object.fromEntries(sources));
      assert.is(outcomeOf(Object.fromEntries(shuffled)), outcome);
      if (outcome.startsWith("{")) {
        compiled++;
        const seen: string[] = [];
        for (const { path } of build(Object.fromEntries(sources)).control.operators) {
          assert.not(seen.some((earlier) => earlier === path || earlier.startsWith(`${path}/`)));
          seen.push(path);
        }
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(compiled > 40, `only ${compiled} of 400 compiled`);
});

function outcomeOf(fragments: Record<string, string>): string {
  try {
    return build(fragments).text;
  } catch (error) {
    assert.instance(error, CompileError, String(error));
    return String(error);
  }
}

test("whatever the YAML: a control file, or problems that each have a place", () => {
  const text = `${fragment("path: /tmp, state: ephemeral", 'path: /srv, state: shared, reason: "r", mode: "0700"')}`;
  const pieces = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom("{", "[", "\n", ": ", "- ", "&a ", "*a", "!!x ", "? ", "\t", "null", ".inf", "__proto__: 1"),
  );
  const edit = fc.tuple(fc.nat(text.length), fc.nat(12), pieces);
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
      const edited = edits.reduce((old, [at, length, put]) => old.slice(0, at) + put + old.slice(at + length), text);
      try {
        build({ "x.yaml": edited });
      } catch (error) {
        assert.instance(error, BadInput, `${String(error)} on ${JSON.stringify(edited)}`);
        for (const line of error instanceof CompileError ? error.lines : [""]) {
          assert.match(line, /^x\.yaml:\d+:\d+: ./s, JSON.stringify(edited));
        }
      }
    }),
    { numRuns: 1500 },
  );
});

test.run();
