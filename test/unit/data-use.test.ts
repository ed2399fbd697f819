import { test } from "uvu";
import * as assert from "uvu/assert";
import { extErrors, readSuperblock } from "../../boot/devices/superblock.ts";
import { CHECKERS, failureOn, mayBeDamage, missingChecker } from "../../state-ops/data-check.ts";
import { degradedNotes, type ExpectedData, judgeData, lostState, type SeenData } from "../../state-ops/data-use.ts";
import { ext4, ext4Errors } from "./golden-machine.ts";

const uuid = "11111111-2222-3333-4444-555555555555";
const other = "99999999-2222-3333-4444-555555555555";
const seen: SeenData = { device: "/dev/vda4", readOnly: false, filesystem: "ext4", uuid, errors: false };
const expected: ExpectedData = { definition: { filesystem: "ext4", whenReplaced: "refuse" }, known: uuid, adopt: false };

function refusal(change: Partial<SeenData>, more: Partial<ExpectedData> = {}): string {
  try {
    judgeData({ ...seen, ...change }, { ...expected, ...more });
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
  return "used";
}

test("what can be used, with what is to be told", () => {
  const adopting = { ...expected, definition: { filesystem: "ext4", whenReplaced: "adopt" } } as const;
  const told = `another data filesystem is adopted: /dev/vda4 has the data filesystem ${uuid}, the boot record knows ${other}: another disk, or made anew`;
  const cases: [string, Partial<SeenData>, ExpectedData, boolean, string[]][] = [
    ["the known one", {}, expected, false, []],
    ["the first ever, or with a lost record", {}, { ...expected, known: null }, false, []],
    ["with errors in its superblock", { errors: true }, expected, true, []],
    ["another one, adopted for this boot", {}, { ...expected, known: other, adopt: true }, false, [told]],
    ["another one, adopted by the control file", {}, { ...adopting, known: other }, false, [told]],
    ["the known one where others are adopted", {}, { ...adopting, adopt: true }, false, []],
  ];
  for (const [name, change, facts, check, notes] of cases) {
    assert.equal(judgeData({ ...seen, ...change }, facts), { check, notes }, name);
  }
});

test("what cannot be used: what was seen and the remedy, and mkfs without the known UUID only where nothing is known", () => {
  const cases: [string, Partial<SeenData>, Partial<ExpectedData>, RegExp][] = [
    ["write-protected", { readOnly: true }, {}, /^\/dev\/vda4 is write-protected, .*; unlock the disk, or replace it$/],
    [
      "blank, never seen before",
      { filesystem: null },
      { known: null },
      /^\/dev\/vda4 has no known filesystem, the control file says ext4; make it with mkfs\.ext4$/,
    ],
    [
      "blank, and known",
      { filesystem: null },
      {},
      new RegExp(`boot record knows state on ${uuid}: lost superblock, .* mkfs\\.ext4 -U ${uuid}$`),
    ],
    ["another type", { filesystem: "xfs" }, { known: null }, /has xfs filesystem, the control file says ext4; make it with/],
    ["another type, and known", { filesystem: "vfat" }, {}, new RegExp(`has vfat filesystem, .* knows state on ${uuid}`)],
    [
      "another one",
      { uuid: other },
      {},
      new RegExp(
        `has the data filesystem ${other}, the boot record knows ${uuid}: .*slipway\\.data=adopt .* when-replaced: adopt`,
      ),
    ],
    ["one without a UUID", { uuid: "unknown" }, {}, /has the data filesystem unknown, the boot record knows/],
    ["another one, write-protected", { uuid: other, readOnly: true }, { adopt: true }, /is write-protected/],
  ];
  for (const [name, change, more, message] of cases) assert.match(refusal(change, more), message, name);
  assert.match(
    refusal({ filesystem: null }, { definition: { filesystem: "xfs", whenReplaced: "refuse" } }),
    `mkfs.xfs -m uuid=${uuid}`,
  );
  assert.is(refusal({}), "used");
});

test("lost state is told where there was some, and only there", () => {
  const create = { do: "create", to: 2, why: "", reason: "slot a is committed, but has no generation" } as const;
  assert.is(
    lostState(create, uuid, uuid),
    `state was lost: slot a is committed, but has no generation (data filesystem ${uuid})`,
  );
  assert.is(lostState(create, uuid, null), null, "the boot record knows no state");
  assert.is(lostState({ ...create, reason: null }, uuid, uuid), null, "a first boot, or a reset that was asked for");
  assert.is(lostState({ do: "continue", generation: 1, why: "", reason: "x" }, uuid, uuid), null);
});

test("degraded paths are told by their reason", () => {
  const entry = (path: string, reason = "no disk") => ({ path, reason });
  assert.equal(degradedNotes([]), []);
  assert.equal(degradedNotes([entry("/etc"), entry("/var/lib", "ENOSPC"), entry("/home")]), [
    "degraded: /etc, /home: no disk",
    "degraded: /var/lib: ENOSPC",
  ]);
  assert.equal(degradedNotes(["/a", "/b", "/c", "/d"].map((path) => entry(path))), ["degraded: /a, /b and 2 more: no disk"]);
});

test("an ext4's superblock tells of errors", () => {
  assert.is(extErrors(ext4(1)), false);
  for (const state of [0, 2, 3, 6]) {
    const bytes = ext4Errors(1, state);
    assert.is(extErrors(bytes), true, `s_state ${state}`);
    assert.is(readSuperblock(bytes)?.type, "ext4");
  }
  assert.is(extErrors(ext4Errors(1, 5)), false, "orphans alone are no errors");
});

test("exit codes of the checkers", () => {
  const cases: [keyof typeof CHECKERS, number | null, string, RegExp][] = [
    ["ext4", 0, "clean", /no errors are left/],
    ["ext4", 1, "repaired", /put right/],
    ["ext4", 2, "repaired", /put right/],
    ["ext4", 3, "repaired", /put right/],
    ["ext4", 4, "left", /errors are left that it does not repair unattended \(exit 4\)/],
    ["ext4", 5, "left", /errors are left/],
    ["ext4", 8, "left", /could not work \(exit 8\)/],
    ["ext4", 12, "left", /errors are left .*, it could not work \(exit 12\)/],
    ["ext4", 16, "left", /arguments/],
    ["ext4", 32, "left", /cancelled/],
    ["ext4", 127, "left", /exit 127/],
    ["ext4", 128, "left", /shared library/],
    ["ext4", 64, "left", /nobody knows what it means \(exit 64\)/],
    ["ext4", null, "left", /killed by signal 9/],
    ["xfs", 0, "clean", /nothing/],
    ["xfs", 4, "repaired", /put right/],
    ["xfs", 1, "left", /could not repair it \(exit 1\)/],
    ["xfs", 2, "left", /log cannot be replayed/],
    ["xfs", null, "left", /signal/],
    ["btrfs", 0, "clean", /nothing/],
    ["btrfs", 1, "left", /repairs nothing \(exit 1\)/],
    ["btrfs", null, "left", /signal/],
  ];
  for (const [filesystem, exitCode, result, text] of cases) {
    const verdict = CHECKERS[filesystem].judge({ exitCode, signal: exitCode === null ? 9 : null });
    assert.is(verdict.result, result, `${filesystem} ${exitCode}`);
    assert.match(verdict.text, text, `${filesystem} ${exitCode}`);
  }
});

test("no checker is asked for more than is safe unattended", () => {
  assert.equal(CHECKERS.ext4.words("/dev/vda4"), ["-p", "-f", "/dev/vda4"]);
  assert.equal(CHECKERS.xfs.words("/dev/vda4"), ["-e", "/dev/vda4"]);
  assert.equal(CHECKERS.btrfs.words("/dev/vda4"), ["check", "--readonly", "/dev/vda4"]);
  assert.match(missingChecker(CHECKERS.ext4), "--extra /usr/sbin/e2fsck=/usr/sbin/e2fsck");
  assert.match(missingChecker(CHECKERS.xfs), "--extra /usr/sbin/xfs_repair=/usr/sbin/xfs_repair");
  assert.match(missingChecker(CHECKERS.btrfs), "--extra /usr/bin/btrfs=/usr/bin/btrfs");
});

test("which failures may be damage, and what each tells", () => {
  const failed = (call: string, code: string) => ({ call, code, message: `${call} /run/slipway/data: ${code}` });
  for (const code of ["EUCLEAN", "EBADMSG", "EINVAL", "EIO", "ESTALE"]) assert.ok(mayBeDamage(failed("mount", code)), code);
  for (const code of ["ENODEV", "ENOMEM", "EROFS", "EACCES", "EBUSY", "ENXIO", "EOPNOTSUPP", "ENOSPC"]) {
    assert.not.ok(mayBeDamage(failed("mount", code)), code);
  }
  for (const code of ["EUCLEAN", "EBADMSG", "EIO"]) assert.ok(mayBeDamage(failed("openat2", code)), code);
  for (const code of ["ENOTDIR", "ELOOP", "EINVAL", "ENOENT", "ENOSPC"])
    assert.not.ok(mayBeDamage(failed("openat2", code)), code);
  assert.is(failureOn("/dev/vda4", failed("mount", "ENOMEM")), "/dev/vda4 cannot be mounted (ENOMEM): too little memory");
  assert.is(failureOn("/dev/vda4", failed("mount", "ERANGE")), "/dev/vda4 cannot be mounted (ERANGE)");
  const full = { call: "mkdirat", message: "mkdirat gens: ENOSPC", code: "ENOSPC" };
  assert.match(failureOn("/dev/vda4", full), /^\/dev\/vda4: mkdirat gens: ENOSPC: it is full; delete/);
  const unread = { call: "pread64", message: "pread64 /dev/vda4: EIO", code: "EIO" };
  assert.match(failureOn("/dev/vda4", unread), /^pread64 \/dev\/vda4: EIO: the disk fails/);
});

test.run();
