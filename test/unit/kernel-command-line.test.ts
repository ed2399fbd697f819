import { test } from "uvu";
import * as assert from "uvu/assert";
import { applyLadder, applyLock, type CommandLine, parseCommandLine } from "../../boot/kernel-command-line.ts";
import { noNetworkWords } from "../../boot/network/ip-words.ts";
import { RUNGS, type Rung } from "../../state-ops/recovery.ts";

const nothing: CommandLine = {
  init: null,
  breakAt: null,
  shell: false,
  slot: null,
  nonce: null,
  kexec: null,
  adoptData: false,
  recover: null,
  network: noNetworkWords(),
  initArguments: [],
  warnings: [],
};

function parse(text: string, expected: Partial<CommandLine>): void {
  assert.equal(parseCommandLine(text), { ...nothing, ...expected }, text);
}

test("an empty line, and words of the kernel and the system, ask for nothing", () => {
  parse("", {});
  parse("  \n", {});
  parse("BOOT_IMAGE=/vmlinuz console=ttyS0,115200 ro systemd.unit=rescue.target loglevel=7\n", {});
});

test("every word that is obeyed", () => {
  parse("init=/sbin/other quiet panic=30 rd.break=state rd.shell slipway.slot=b\n", {
    init: "/sbin/other",
    breakAt: "state",
    shell: true,
    slot: { name: "b", from: "slipway.slot" },
  });
  parse("rauc.slot=A panic=-1 rd.break rd.shell=1", {
    slot: { name: "A", from: "rauc.slot" },
    breakAt: "handover",
    shell: true,
  });
  parse("rd.shell=0", {});
  parse("slipway.data=adopt", { adoptData: true });
  parse("slipway.recover quiet", { recover: "ladder" });
  for (const rung of RUNGS) parse(`slipway.recover=${rung}`, { recover: rung });
  parse('"slipway.recover=safe-mode"', { recover: "safe-mode" });
});

test("double quotes as in the kernel's next_arg()", () => {
  parse('slipway.slot="a b" quiet', { slot: { name: "a b", from: "slipway.slot" } });
  parse('"slipway.slot=a b" quiet', { slot: { name: "a b", from: "slipway.slot" } });
  parse('"quiet"', {});
  parse('foo="x rd.shell init=/evil" quiet', {});
  parse('init="/bin/a b', { init: "/bin/a b" });
  parse('foo="-- init=/evil" init=/good', { init: "/good" });
  parse('init=/a"b c"d', { init: '/a"b c"d' });
  parse('"', {});
});

test("-- ends it, and everything after goes to init", () => {
  parse('quiet -- init=/evil rd.shell "a b" key="c d" -- last', {
    initArguments: ["init=/evil", "rd.shell", "a b", "key=c d", "--", "last"],
  });
  parse("--=x -- y", { initArguments: ["y"] });
});

test("run levels go to init; those before init= are forgotten, as the kernel does", () => {
  parse("single quiet 3 S foo", { initArguments: ["single", "3", "S"] });
  parse("auto single init=/sbin/init emergency -- x", { init: "/sbin/init", initArguments: ["emergency", "x"] });
  parse("single=1 6", {});
});

test("unknown slipway. and rd. words are reported", () => {
  parse("slipway.slots=a rd.luks.uuid=1 rd.Shell", {
    warnings: [
      '"slipway.slots=a" is unknown to slipway and ignored',
      '"rd.luks.uuid=1" is unknown to slipway and ignored',
      '"rd.Shell" is unknown to slipway and ignored',
    ],
  });
});

test("dash and underscore are different in names of ours", () => {
  parse("slipway.re-cover", { warnings: ['"slipway.re-cover" is unknown to slipway and ignored'] });
});

test("values that cannot be obeyed are reported", () => {
  for (const word of [
    "rd.break=lunch",
    "rd.shell=yes",
    "init=",
    "init",
    "init=sbin/init",
    "slipway.slot=",
    "rauc.slot",
    "slipway.data",
    "slipway.data=yes",
    "slipway.data=Adopt",
    "slipway.recover=",
    "slipway.recover=ladder",
    "slipway.recover=Repair",
    "slipway.recover=repair,reinstall",
  ]) {
    const line = parseCommandLine(word);
    assert.is(line.warnings.length, 1, word);
    assert.match(line.warnings[0] ?? "", "is ignored: ");
    assert.equal({ ...line, warnings: [] }, nothing, word);
  }
  assert.match(parseCommandLine("rd.break=lunch").warnings[0] ?? "", "modules, devices, record, proof, image, state, handover");
});

test("words that are reported and ignored", () => {
  assert.is(parseCommandLine("root=/dev/sda2 rootflags=x rootwait rw").warnings.length, 4);
});

test("of several values the last wins, which is reported", () => {
  parse("slipway.slot=a slipway.slot=b init=/x init=/x", {
    slot: { name: "b", from: "slipway.slot" },
    init: "/x",
    warnings: ['"slipway.slot=b" overrules "slipway.slot=a" before it'],
  });
  parse("slipway.slot=a rauc.slot=b", {
    slot: { name: "a", from: "slipway.slot" },
    warnings: ['"rauc.slot=b" is ignored: slipway.slot=a overrules it'],
  });
  parse("rauc.slot=b slipway.slot=a", {
    slot: { name: "a", from: "slipway.slot" },
    warnings: ['"slipway.slot=a" overrules rauc.slot=b'],
  });
});

test("of several wishes for a recovery the last one counts", () => {
  parse("slipway.recover slipway.recover=repair", {
    recover: "repair",
    warnings: ['"slipway.recover=repair" overrules "slipway.recover" before it'],
  });
});

test("a wish for a recovery is refused where the control file's ladder has no such rung", () => {
  const asked = (text: string, ladder: readonly Rung[]) => {
    const { recover, warnings } = applyLadder(parseCommandLine(text), ladder);
    return { recover, warnings };
  };
  assert.equal(asked("quiet", []), { recover: null, warnings: [] });
  assert.equal(asked("slipway.recover", ["repair"]), { recover: "ladder", warnings: [] });
  assert.equal(asked("slipway.recover=reinstall", RUNGS), { recover: "reinstall", warnings: [] });
  assert.equal(asked("slipway.recover=safe-mode", ["repair", "reinstall"]), {
    recover: null,
    warnings: ['"slipway.recover=safe-mode" is refused: the control file allows repair, reinstall'],
  });
  const none = "is refused: the control file allows no recovery";
  assert.equal(asked("slipway.recover", []), { recover: null, warnings: [`"slipway.recover" ${none}`] });
  assert.equal(asked("slipway.recover=repair", []), { recover: null, warnings: [`"slipway.recover=repair" ${none}`] });
});

test("a warning neither carries control characters nor grows without bound", () => {
  const [warning] = parseCommandLine(`rd.\u001b[2J${"x".repeat(3000)}`).warnings;
  assert.not.match(warning ?? "", "\u001b");
  assert.ok((warning ?? "").length < 200);
});

test("a locked command line chooses no program, no shell and no state", () => {
  const line = parseCommandLine(
    "init=/bin/sh rd.break rd.shell slipway.data=adopt slipway.recover=repair single slipway.slot=a quiet -- -c reboot",
  );
  assert.is(applyLock(line, false), line);
  assert.equal(applyLock(line, true), {
    ...nothing,
    slot: { name: "a", from: "slipway.slot" },
    recover: "repair",
    warnings: ["init=/bin/sh", "rd.break=handover", "rd.shell", "slipway.data=adopt", "-c", "reboot"]
      .map((word) => `"${word}" is refused: the control file says command-line: locked`)
      .toSpliced(4, 0, '"single" is refused: the control file says command-line: locked'),
  });
});

test("what the bootloader found in its store", () => {
  parse("slipway.nonce=0123456789abcdef rauc.slot=A", {
    nonce: "0123456789abcdef",
    slot: { name: "A", from: "rauc.slot" },
  });
  for (const word of ["slipway.nonce=0123456789ABCDEF", "slipway.nonce=0123", "slipway.nonce=0123456789abcdef0"]) {
    parse(word, { warnings: [`"${word}" is ignored: it is not 16 hex digits`] });
  }
  parse("slipway.nonce slipway.nonce=", {
    warnings: ['"slipway.nonce=" overrules "slipway.nonce" before it', '"slipway.nonce=" is ignored: it has no value'],
  });
  parse("slipway.nonce=0123456789abcdef slipway.nonce=fedcba9876543210", {
    nonce: "fedcba9876543210",
    warnings: ['"slipway.nonce=fedcba9876543210" overrules "slipway.nonce=0123456789abcdef" before it'],
  });
});

test.run();
