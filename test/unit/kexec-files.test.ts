/** Kernels, initrds and command lines for a start by kexec: what is read of them, and what is refused. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { newBootLine, secondStageLine } from "../../boot/kexec/command-line.ts";
import { controlInInitrd } from "../../boot/kexec/initrd-control.ts";
import { bannerInside, isRunning, kernelBanner } from "../../boot/kexec/kernel-file.ts";
import { lineFailure, loadFailure, MOST_KEXEC_LINE } from "../../boot/kexec/load-failure.ts";
import type { Attempt } from "../../boot/record/record.ts";
import { bootRecord } from "../../boot/record/shape.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { beginBoot, isSecondStage } from "../../boot/selection/begin.ts";
import { startKernel, takeUp } from "../../boot/selection/start-kernel.ts";
import type { CpioEntry } from "../../init/builder/initrd/cpio.ts";
import { policyDrift } from "../../state-ops/control-drift.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { archive, bzImage, cpioFile, initrdEntries } from "../samples/kernel-file.ts";

const nonce = "0123456789abcdef";

test("the second stage gets the same words, without the loader's own and with the nonce", () => {
  const line = (text: string) => secondStageLine(text, nonce);
  assert.is(line("BOOT_IMAGE=/vmlinuz quiet initrd=\\\\initrd\n"), `quiet panic=10 slipway.kexec=${nonce}`);
  assert.is(line("panic=30 slipway.slot=b rauc.slot=B"), `panic=30 slipway.slot=b rauc.slot=B slipway.kexec=${nonce}`);
  assert.is(line("slipway.kexec=ffffffffffffffff quiet"), `quiet panic=10 slipway.kexec=${nonce}`);
  assert.is(line('"slipway.kexec=ffff ffff" a="b c" "d e=f g"'), `a="b c" "d e=f g" panic=10 slipway.kexec=${nonce}`);
  assert.is(line("a -- b slipway.kexec=1"), `a panic=10 slipway.kexec=${nonce} -- b slipway.kexec=1`);
  assert.is(line('a="-- b'), `a="-- b panic=10 slipway.kexec=${nonce}`, "a quote that never ends takes all, in the kernel too");
  assert.is(line(""), `panic=10 slipway.kexec=${nonce}`);
});

test("a new boot of another slot forgets what a loader chose", () => {
  assert.is(
    newBootLine("quiet slipway.slot=a rauc.slot=A slipway.nonce=00 slipway.kexec=1 slipway.recover BOOT_IMAGE=x", "b"),
    "quiet slipway.recover panic=10 slipway.slot=b",
  );
});

test("what is written is what PID 1 reads", () => {
  assert.is(parseCommandLine(secondStageLine('x="y z" -- 3', nonce)).kexec, nonce);
  assert.is(parseCommandLine("quiet").kexec, null);
  assert.is(parseCommandLine("slipway.kexec=").kexec, null);
  assert.equal(parseCommandLine("slipway.kexec").warnings, ['"slipway.kexec" is ignored: it has no value']);
  assert.is(parseCommandLine(newBootLine("slipway.slot=a", "b")).slot?.name, "b");
});

test("a bzImage says what it is, other files do not", () => {
  const version = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)";
  assert.equal(kernelBanner(bzImage("6.1.0-50-amd64", version)), { release: "6.1.0-50-amd64", version });
  assert.is(kernelBanner(new Uint8Array(0)), null);
  assert.is(kernelBanner(new TextEncoder().encode("MZ").slice()), null);
  const spoiled = (change: (bytes: DataView) => void) => {
    const bytes = bzImage("6.1", "#1");
    change(new DataView(bytes.buffer));
    return kernelBanner(bytes);
  };
  assert.is(
    spoiled((bytes) => bytes.setUint16(0x20e, 0, true)),
    null,
  );
  assert.is(
    spoiled((bytes) => bytes.setUint16(0x20e, 0xffff, true)),
    null,
  );
  assert.is(
    spoiled((bytes) => bytes.setUint8(0x203, 0)),
    null,
  );
  assert.equal(bannerInside(Buffer.from("xx\0Linux version 6.1.0-arm64 (a@b) (gcc) #1 SMP\n")), { release: "6.1.0-arm64" });
  assert.is(bannerInside(Buffer.from("nothing")), null);
  assert.is(bannerInside(Buffer.from("Linux version ")), null);
});

test("which kernel runs: release and build, or the release alone", () => {
  const running = { release: "6.1", version: "#1 SMP" };
  assert.ok(isRunning(running, "6.1", { release: "6.1", version: "#1 SMP" }));
  assert.not(isRunning(running, "6.1", { release: "6.1", version: "#2 SMP" }));
  assert.not(isRunning(running, "6.2", null));
  assert.ok(isRunning(running, "6.1", null));
});

const controlText = sampleControlText();
const read = (bytes: Uint8Array) => controlInInitrd((offset, length) => bytes.subarray(offset, offset + length), bytes.length);
const usual = initrdEntries(controlText);

test("the control file of an initrd is found without unpacking it", () => {
  assert.is(read(archive(usual)), controlText);
  assert.is(read(new Uint8Array(Buffer.concat([archive(usual), new Uint8Array(4096)]))), controlText);
});

const evil = sampleControlText({ commandLine: "open", deviceTimeout: 1 });
const link = (path: string, target: string): CpioEntry => ({ path, kind: "symlink", target });
const directory = (path: string): CpioEntry => ({ path, kind: "directory", mode: 0o755 });
const twoArchives = (padding: number) => Buffer.concat([archive(usual), new Uint8Array(padding), archive(initrdEntries(evil))]);

/** Archives that the kernel would unpack to another control file than the first that is found, and their likes. */
const refused: Record<string, { bytes: Uint8Array; reason: RegExp }> = {
  "a second archive": { bytes: twoArchives(0), reason: /something lies behind the archive's end/ },
  "a second archive far behind": { bytes: twoArchives(128 * 1024), reason: /something lies behind the archive's end/ },
  "the file twice": { bytes: archive([...usual, cpioFile("etc/slipway/control.json", evil)]), reason: /is there twice/ },
  "the file by another name": {
    bytes: archive([...usual, cpioFile("etc/slipway/../slipway/control.json", evil)]),
    reason: /is no plain path/,
  },
  "the file by an absolute name": {
    bytes: archive([...usual, cpioFile("/etc/slipway/control.json", evil)]),
    reason: /no plain path/,
  },
  "the file by a dotted name": {
    bytes: archive([...usual, cpioFile("./etc/slipway/control.json", evil)]),
    reason: /no plain path/,
  },
  "the file by a name that ends early": {
    bytes: archive([...usual, cpioFile("etc/slipway/control.json\0x", evil)]),
    reason: /no plain path/,
  },
  "a link to its directory": {
    bytes: archive([...usual, link("way", "etc/slipway"), cpioFile("way/control.json", evil)]),
    reason: /lies in way, which is no directory/,
  },
  "its directory is a link": {
    bytes: archive([directory("etc"), link("etc/slipway", "../other"), ...usual.slice(2)]),
    reason: /lies in etc\/slipway, which is no directory/,
  },
  "the file is a link": {
    bytes: archive([...usual.slice(0, 3), link("etc/slipway/control.json", "/other")]),
    reason: /there is no etc\/slipway\/control\.json in it/,
  },
  "files that are others but for a mark which decoders leave out": {
    bytes: archive([
      ...["\ufeffetc", "\ufeffetc/slipway"].map(directory),
      cpioFile("init", "preinit"),
      cpioFile("\ufeffetc/slipway/control.json", controlText),
    ]),
    reason: /there is no etc\/slipway\/control\.json/,
  },
  "no control file": { bytes: archive(usual.slice(0, 3)), reason: /there is no etc\/slipway\/control\.json/ },
  compressed: { bytes: new Uint8Array(Bun.gzipSync(archive(usual))), reason: /an uncompressed newc cpio is wanted/ },
  "cut short": { bytes: archive(usual).subarray(0, 700), reason: /cut short|damaged/ },
  empty: { bytes: new Uint8Array(0), reason: /uncompressed newc cpio is wanted/ },
};
for (const [name, { bytes, reason }] of Object.entries(refused)) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => read(bytes),
      (error: unknown) => error instanceof BadInput && reason.test(error.message),
    );
  });
}

test("a hard link is refused: another name's content becomes the file's", () => {
  const bytes = archive(usual);
  const at = Buffer.from(bytes).indexOf("init\0") - 110;
  bytes.set(new TextEncoder().encode("00000002"), at + 6 + 4 * 8);
  assert.throws(() => read(bytes), /"init" has 2 names/);
});

test("two initrds rule alike where they differ only in what images rule", () => {
  const own = readControl(controlText);
  const drift = (change: Parameters<typeof sampleControlText>[0]) => policyDrift(own, readControl(sampleControlText(change)));
  assert.equal(drift({}), []);
  assert.equal(drift({ accounts: { users: { root: 0 }, groups: {} } }), []);
  assert.equal(drift({ kernel: "slot" }), ["kernel"]);
  assert.equal(drift({ delegate: true, trialDeadline: 5 }), ["delegate", "trial-deadline"]);
  assert.equal(policyDrift({ ...own, delegate: true }, own), ["delegate"]);
});

test("every answer of the kernel says whose fault it is, and names itself", () => {
  for (const code of ["ENOSYS", "EPERM", "ENOMEM", "EADDRNOTAVAIL", "EBUSY"]) assert.is(loadFailure(code).whose, "machine", code);
  for (const code of ["ENOEXEC", "EKEYREJECTED", "ELIBBAD", "EIO", "ENOKEY", "ENODATA"]) {
    assert.is(loadFailure(code).whose, "image", code);
  }
  assert.match(loadFailure("EFAULT").reason, /was not taken \(EFAULT\)/);
});

test("a command line that no kernel takes is the machine's fault, whatever the bytes of its characters", () => {
  assert.is(lineFailure("x".repeat(MOST_KEXEC_LINE)), null);
  const failure = lineFailure("x".repeat(MOST_KEXEC_LINE + 1));
  assert.is(failure?.whose, "machine");
  assert.match(failure?.reason ?? "", /has 2017 bytes, kexec takes 2016: shorten/);
  assert.match(lineFailure("ä".repeat(1009))?.reason ?? "", /has 2018 bytes/);
});

const policy = { slots: ["a"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" as const } };
const attempt: Attempt = { number: 4, slot: "a", imageId: null, trial: true, stage: "counted", cleanEnd: false };
const started = startKernel({ ...freshRecord(policy), attempt }, { nonce, previousEnd: "clean" });

test("an attempt that waits for its second stage is taken up once, and only with its nonce", () => {
  assert.is(started.attempt?.stage, "handover");
  assert.ok(isSecondStage(started, nonce));
  for (const other of [null, "", "0123456789abcdee"]) {
    assert.not(isSecondStage(started, other));
    const begun = beginBoot(started, policy, other);
    assert.is(begun.previous?.ended, "unclean");
    assert.not(isSecondStage(begun.record, nonce), "closed");
  }
  const begun = beginBoot(started, policy, nonce);
  assert.is(begun.previous, null);
  const taken = takeUp(begun.record);
  assert.equal(taken.attempt, attempt);
  assert.not(isSecondStage(taken, nonce));
  assert.not(isSecondStage({ ...taken, attempt: null }, null));
});

test("the record keeps it, and refuses what it cannot be", () => {
  const text = (record: unknown) => bootRecord(JSON.parse(JSON.stringify(record)));
  assert.equal(text(started), started);
  const spoiled = (kexec: unknown) => () => text({ ...started, attempt: { ...started.attempt, kexec } });
  assert.throws(spoiled({ nonce }), /attempt\.kexec\.previousEnd is missing/);
  assert.throws(spoiled({ nonce, previousEnd: "maybe" }), /previousEnd must be "clean" or/);
  assert.throws(spoiled({ nonce: "x".repeat(65), previousEnd: "none" }), /nonce must be a text of at most 64/);
  assert.throws(spoiled({ nonce, previousEnd: "none", more: 1 }), /more is not known/);
});

test.run();
