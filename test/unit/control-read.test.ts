import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson, canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import type { ControlFile, Operator } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { refusesControl, sampleControl } from "../samples/control-file.ts";
import { sampleOperator } from "../samples/operator.ts";

function operator(path: string, changes: Partial<Operator> = {}): Operator {
  return sampleOperator(path, { mode: 0o755, group: 0, origin: `app/x.yaml:${path.length}`, ...changes });
}

const etc = operator("/etc", { via: "overlay" });
const machineId = operator("/etc/machine-id", { kind: "file", state: "identity", seed: "none", generate: "machine-id" });
const tmp = operator("/tmp", { state: "ephemeral", via: "tmpfs", seed: "none", size: 4096 });

const control: Omit<ControlFile, "digest"> = sampleControl({
  system: "acme",
  slots: [
    { name: "a", device: "PARTLABEL=root-a" },
    { name: "b", device: "/dev/vda3" },
    { name: "c", file: "images/c.img", size: 1048576 },
  ],
  data: { device: "UUID=1234", filesystem: "xfs", whenReplaced: "refuse", grow: false, create: false },
  watchdog: { timeout: 30, after: "systemd" },
  commandLine: "locked",
  operators: [etc, machineId, tmp],
});

const fileSlot = { name: "c", file: "images/c.img", size: 600 * 1024 * 1024 };

test("a control file is read as it was written", () => {
  const { digest, ...rest } = readControl(canonicalJsonWithDigest(control));
  assert.equal(rest, control);
  assert.match(digest, /^sha256:/);
});

const faults: [string, object, RegExp][] = [
  ["another schema", { schema: 2 }, /schema must be 1, is 2; this initrd is older/],
  ["an unknown key", { mirrors: {} }, /mirrors is not known to this version of slipway; known are: schema/],
  ["a key below", { tries: { trial: 3, committed: 10, third: 1 } }, /tries\.third is not known/],
  ["a missing key below", { tries: { trial: 3 } }, /tries\.committed is missing/],
  ["no slots", { slots: [] }, /slots must be a list of 1 to 16 slots/],
  ["a slot twice", { slots: [control.slots[0], control.slots[0]] }, /slots: two are named "a"/],
  ["a slot's name", { slots: [{ name: "../x", device: "LABEL=x" }] }, /slots\[0\]\.name: "\.\.\/x" cannot name a slot/],
  ["a slot that is nowhere", { slots: [{ name: "a" }] }, /slots\[0\]\.device is missing/],
  ["a slot at two places", { slots: [{ ...fileSlot, device: "LABEL=x" }] }, /slots\[0\]\.device is not known to this version/],
  ["a partition's size", { slots: [{ name: "a", device: "LABEL=x", size: 1 }] }, /slots\[0\]\.size is not known/],
  ["a slot's file elsewhere", { slots: [{ ...fileSlot, file: "gens/c" }] }, /slots\[0\]\.file: "gens\/c" is no place for a slot/],
  ["a slot's file that climbs", { slots: [{ ...fileSlot, file: "images/.." }] }, /is no place for a slot/],
  ["a slot's file in lines", { slots: [{ ...fileSlot, file: "images/c\n" }] }, /"images\/c\\n" is no place for a slot/],
  ["a slot's file without a size", { slots: [{ name: "c", file: "images/c" }] }, /slots\[0\]\.size is missing/],
  ["a size of text", { slots: [{ ...fileSlot, size: "1M" }] }, /slots\[0\]\.size must be a whole number/],
  ["a small file", { slots: [{ ...fileSlot, size: 4096 }] }, /slots\[0\]\.size: a slot of 4096 bytes holds no image/],
  ["a crooked size", { slots: [{ ...fileSlot, size: 1048577 }] }, /slots\[0\]\.size: 1048577 bytes are no whole blocks/],
  ["one file twice", { slots: [fileSlot, { ...fileSlot, name: "d" }] }, /slots: two are the file "images\/c\.img"/],
  [
    "a file without data",
    { slots: [fileSlot], data: null },
    /slots: "images\/c\.img" lies on the data filesystem, and "data" is null/,
  ],
  ["a device", { disk: "vda" }, /disk: "vda" names no device/],
  [
    "a filesystem",
    { data: { device: "LABEL=x", filesystem: "ext3", whenReplaced: "refuse", grow: false, create: false } },
    /data\.filesystem must be "ext4" or "xfs" or "btrfs", is "ext3"/,
  ],
  ["a number", { trialDeadline: 1.5 }, /trialDeadline must be a whole number from 1 to 86400, is 1.5/],
  ["a text", { system: 7 }, /system must be a text that is not empty, is 7/],
  ["operators of another type", { operators: {} }, /operators must be a list, is an object/],
  ["an operator that is none", { operators: [3] }, /operators\[0\] must be an object, is 3/],
  ["a path that is not canonical", { operators: [{ ...etc, path: "/etc/" }] }, /operators\[0\]\.path: .*not canonical/],
  ["a climbing path", { operators: [{ ...etc, path: "/etc/../usr" }] }, /not canonical/],
  ["a closed tree", { operators: [{ ...etc, path: "/usr/lib" }] }, /never writable state/],
  ["a store that leads elsewhere", { operators: [{ ...etc, id: "../x" }] }, /cannot name a store/],
  ["a word of another version", { operators: [{ ...etc, via: "fuse" }] }, /operators\[0\]\.via must be "overlay" or "bind" or/],
  ["an ephemeral bind", { operators: [{ ...tmp, via: "bind", size: null }] }, /an ephemeral directory is a tmpfs/],
  ["shared without a reason", { operators: [operator("/srv", { state: "shared" })] }, /say why in "reason:"/],
  ["one path twice", { operators: [etc, { ...etc, id: "other" }] }, /\/etc is declared twice, here and at app/],
  ["one id twice", { operators: [etc, { ...tmp, id: "etc" }] }, /the id "etc" of \/tmp is also that of \/etc, at app/],
  ["a child before its parent", { operators: [machineId, etc] }, /\/etc\/machine-id comes before \/etc/],
  ["a child before its grandparent", { operators: [operator("/srv/a/b/c"), operator("/srv")] }, /comes before \/srv,/],
  [
    "persistent below shared",
    { operators: [operator("/srv", { state: "shared", reason: "r" }), operator("/srv/x")] },
    /\/srv\/x is persistent below \/srv, which is shared.*app\/x\.yaml:4.*app\/x\.yaml:6/,
  ],
];

const bind = operator("/srv");
const shared = operator("/srv", { state: "shared", reason: "r" });
const mask = operator("/srv", { state: null, via: "mask", seed: "none", mode: null, group: null });
const hole = { ...mask, via: "readonly", seed: "image" };
const link = { ...mask, kind: "file", state: "ephemeral", via: "symlink", target: "/run/x" };
const file = operator("/srv", { kind: "file" });

/** Operators that PID 1 refuses without having seen the image. */
const operatorFaults: [string, object[], RegExp][] = [
  ["inside a mask", [mask, operator("/srv/x")], /\/srv\/x is inside \/srv, which is masked/],
  ["inside a file", [file, operator("/srv/x")], /\/srv\/x is inside \/srv, which is a file/],
  ["inside a symlink", [link, operator("/srv/x")], /\/srv\/x is inside \/srv, which is a symlink/],
  ["a hole in nothing", [hole], /is read-only without "via: readonly"/],
  ["state without its way", [{ ...mask, state: "shared", reason: "r" }], /"via: mask" keeps no write/],
  ["a way without state", [{ ...bind, state: null }], /"via: bind" needs "state:"/],
  ["an overlay of shared state", [{ ...shared, via: "overlay" }], /would share one upper layer/],
  ["a link that points nowhere", [{ ...link, target: null }], /"via: symlink" needs "target:"/],
  ["a link to another path", [{ ...link, target: "run/x" }], /operators\[0\]\.target: the path "run\/x" is not absolute/],
  ["a link to state that is kept longer", [{ ...link, target: "/etc/x" }, etc], /of ephemeral state is not below \/run/],
  ["a link to what nobody keeps", [{ ...link, state: "persistent", target: "/home/x" }], /where no operator says how long/],
  ["a link with an owner", [{ ...link, owner: 0 }], /"owner" is of a store or of memory/],
  ["slipway's own place", [{ ...tmp, path: "/run/slipway/data" }], /\/run\/slipway is slipway's own/],
  ["a literal without text", [{ ...file, seed: "literal" }], /"seed: literal" has no text/],
  ["a text without a literal", [{ ...file, literal: "x" }], /"seed: image" has a text that is not used/],
  ["a literal directory", [{ ...bind, seed: "literal", literal: "x" }], /a literal is the content of a file/],
  ["a generated directory", [{ ...bind, seed: "none", generate: "uuid" }], /makes a file of nothing/],
  ["flags that are not sorted", [{ ...bind, flags: ["nosuid", "nodev"] }], /operators\[0\]\.flags must be a sorted list/],
  ["a flag twice", [{ ...bind, flags: ["nodev", "nodev"] }], /operators\[0\]\.flags must be a sorted list/],
  ["a flag of another version", [{ ...bind, flags: ["relatime"] }], /flags must be a sorted list of nodev/],
  ["a label that is none", [{ ...bind, context: "x" }], /operators\[0\]\.context: .* is no SELinux label/],
  ["a glob that climbs", [{ ...bind, exclude: ["../x"] }], /the glob "\.\.\/x" is no path below the store/],
  ["globs of what is not cloned", [{ ...shared, exclude: ["x"] }], /"exclude" is for a persistent directory/],
  ["a shared cache", [{ ...shared, cache: true }], /"cache" is for persistent state/],
  ["a shared merge", [{ ...shared, merge: "fail" }], /"merge" is for persistent state/],
  ["a limit of a store", [{ ...bind, inodes: 5 }], /"inodes" limits a directory in memory/],
  ["a mask that may fail", [{ ...mask, onFailure: "degraded" }], /says whether memory may stand in/],
  ["its own former id", [{ ...bind, renamedFrom: "srv" }], /is the id that it has/],
  ["a former id that climbs", [{ ...bind, renamedFrom: "../x" }], /renamedFrom: the id "\.\.\/x" cannot name a store/],
  [
    "a former id in use",
    [{ ...etc, renamedFrom: "srv" }, bind],
    /takes its store over from "srv", which is the id of \/srv, at app/,
  ],
  [
    "a former id twice",
    [
      { ...etc, renamedFrom: "x" },
      { ...bind, renamedFrom: "x" },
    ],
    /both take the store "x" over/,
  ],
];

for (const [name, operators, message] of operatorFaults) {
  test(`refused: ${name}`, () => refusesControl(canonicalJsonWithDigest({ ...control, operators }), message));
}

test("each way of doing it is read", () => {
  const paths = (entries: object[]) => entries.map((entry, index) => ({ ...entry, path: `/srv/${index}`, id: `i${index}` }));
  const operators = [
    bind,
    ...paths([mask, hole, link, shared, file, { ...file, state: "identity", seed: "literal", literal: "x" }]),
  ];
  const text = canonicalJsonWithDigest({ ...control, operators });
  assert.is(canonicalJson(readControl(text)), text);
});

for (const [name, changes, message] of faults) {
  test(`refused: ${name}`, () => refusesControl(canonicalJsonWithDigest({ ...control, ...changes }), message));
}

test("refused: every key of the file and of an operator, when it is missing", () => {
  for (const key of Object.keys(control)) {
    refusesControl(canonicalJsonWithDigest(without(control, key)), new RegExp(`${key} is missing`));
  }
  for (const key of Object.keys(etc)) {
    refusesControl(
      canonicalJsonWithDigest({ ...control, operators: [without(etc, key)] }),
      new RegExp(`operators\\[0\\]\\.${key} is missing`),
    );
  }
});

test("refused: damaged content, another form, no JSON", () => {
  const text = canonicalJsonWithDigest(control);
  refusesControl(text.replace("acme", "acmf"), /digest is sha256:.*, the content has sha256:.*compile it again/);
  refusesControl(JSON.stringify(JSON.parse(text), null, 2), /not in canonical form/);
  refusesControl(text.replace('"system":"acme"', '"system":"evil","system":"acme"'), /not in canonical form/);
  refusesControl(canonicalJson(control), /digest is missing/);
  refusesControl("", /not JSON/);
  refusesControl("null", /must be an object, is null/);
  refusesControl("[".repeat(200_000), /not JSON/);
});

function without(object: object, key: string): object {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
}

test("whatever the bytes: a valid result or a clear refusal", () => {
  const text = canonicalJsonWithDigest(control);
  const edits = fc.array(fc.tuple(fc.nat(text.length), fc.nat(8), fc.string({ maxLength: 4 })), { minLength: 1, maxLength: 3 });
  let refusals = 0;
  fc.assert(
    fc.property(edits, (changes) => {
      const edited = changes.reduce((old, [at, length, put]) => old.slice(0, at) + put + old.slice(at + length), text);
      refusals += readsOrRefuses(edited) ? 0 : 1;
    }),
    { numRuns: 1000 },
  );
  assert.ok(refusals > 900, `only ${refusals} edits were refused`);
});

test("whatever the values, with a right digest: a valid result or a clear refusal", () => {
  const keys = [...Object.keys(control), "other", "__proto__"];
  const target = fc.constantFrom(...keys);
  const deep = fc.tuple(fc.nat(2), fc.constantFrom(...Object.keys(etc), "other"), fc.jsonValue());
  fc.assert(
    fc.property(target, fc.jsonValue(), deep, (key, value, [index, inner, innerValue]) => {
      readsOrRefuses(canonicalJsonWithDigest({ ...control, [key]: value }));
      const operators = control.operators.map((entry, at) => (at === index ? { ...entry, [inner]: innerValue } : entry));
      readsOrRefuses(canonicalJsonWithDigest({ ...control, operators }));
    }),
    { numRuns: 1000 },
  );
});

/** Whether it was read; anything but BadInput with a message is a failure. What was read is written the same again. */
function readsOrRefuses(text: string): boolean {
  try {
    assert.is(canonicalJson(readControl(text)), text);
    return true;
  } catch (error) {
    assert.instance(error, BadInput, String(error));
    assert.ok(String(error).length > 20);
    return false;
  }
}

test.run();
