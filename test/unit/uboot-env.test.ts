import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  changeEnvironment,
  type EnvironmentChange,
  type EnvironmentLayout,
  type EnvironmentReading,
  readEnvironment,
} from "../../boot/stores/uboot-env.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-env-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));

/** Bytes of a fixture: lines of hex, "#" before what made them. */
function vector(name: string): Uint8Array {
  const text = readFileSync(join(import.meta.dirname, `../vectors/uboot-env/${name}.txt`), "utf8");
  return Uint8Array.from(Buffer.from(text.replace(/#.*/g, "").replace(/\s/g, ""), "hex"));
}

const variables = {
  BOOT_ORDER: "A B",
  BOOT_A_LEFT: "3",
  BOOT_B_LEFT: "2",
  bootcmd: "run distro_bootcmd",
  slipway_nonce: "0123456789abcdef",
};

function holds(reading: EnvironmentReading): Record<string, string> {
  if (reading.condition !== "valid") throw new Error(`${reading.condition}: ${reading.reason}`);
  return Object.fromEntries(reading.variables);
}

/** The copies after `change`, of which only the first `whole` writes were done; the next one was torn. */
function after(copies: readonly Uint8Array[], change: EnvironmentChange, whole = Number.POSITIVE_INFINITY): Uint8Array[] {
  if (change.writes === null) throw new Error(change.reason);
  const written = copies.map((copy) => Uint8Array.from(copy));
  change.writes.slice(0, whole + 1).forEach(({ copy, offset, bytes }, number) => {
    written[copy]?.set(number < whole ? bytes : bytes.subarray(0, Math.min(6, bytes.length - 1)), offset);
  });
  return written;
}

/** A copy as U-Boot has it, with these flags. */
function copyWith(records: string, flags: number | null, size = 64): Uint8Array {
  const layout = flags === null ? "single" : "incremental";
  const blank = readEnvironment([null, null], layout);
  const changes = new Map(records.split(" ").map((record): [string, string] => ["x", record.slice(2)]));
  const [bytes = new Uint8Array()] = after([new Uint8Array(size)], changeEnvironment(blank, layout, size, changes));
  if (flags !== null) bytes[4] = flags;
  return bytes;
}

test("what mkenvimage made is read: one copy, fillers of ones and of zeros, one of two copies", () => {
  assert.equal(holds(readEnvironment([vector("single")], "single")), variables);
  assert.equal(holds(readEnvironment([vector("single-zeros")], "single")), variables);
  const reading = readEnvironment([vector("redundant"), vector("redundant")], "incremental");
  assert.equal(holds(reading), variables);
  assert.equal([reading.current, reading.flags, reading.reason], [0, 1, null]);
});

test("what fw_setenv wrote into two copies is read: the copy with the higher flags", () => {
  const reading = readEnvironment([vector("set-1"), vector("set-2")], "incremental");
  assert.equal(holds(reading), { ...variables, BOOT_B_LEFT: "0" });
  assert.equal([reading.current, reading.flags], [0, 3]);
  const older = readEnvironment([vector("set-2"), vector("set-1")], "incremental");
  assert.equal([older.current, older.flags], [1, 3]);
});

test("an environment without a variable is valid; one that was never written is empty", () => {
  assert.equal(holds(readEnvironment([vector("empty")], "single")), {});
  for (const byte of [0, 0xff]) {
    const blank = new Uint8Array(64).fill(byte);
    assert.is(readEnvironment([blank], "single").condition, "empty");
    assert.is(readEnvironment([blank, blank], "boolean").condition, "empty");
  }
  const half = readEnvironment([new Uint8Array(64), null], "incremental");
  assert.is(half.condition, "unreadable");
  assert.is(half.reason, "copy 1 of U-Boot's environment was never written; copy 2 of U-Boot's environment cannot be read");
});

test("which of two whole copies counts", () => {
  const cases: [EnvironmentLayout, number, number, number][] = [
    ["incremental", 1, 2, 1],
    ["incremental", 2, 1, 0],
    ["incremental", 7, 7, 0],
    ["incremental", 255, 0, 1],
    ["incremental", 0, 255, 0],
    ["incremental", 255, 1, 0],
    ["incremental", 1, 254, 1],
    ["boolean", 1, 0, 0],
    ["boolean", 0, 1, 1],
    ["boolean", 1, 1, 0],
    ["boolean", 0, 0, 0],
    ["boolean", 255, 1, 0],
    ["boolean", 1, 255, 1],
    ["boolean", 255, 0, 0],
    ["boolean", 0, 255, 1],
    ["boolean", 255, 255, 0],
    ["boolean", 0, 7, 1],
  ];
  for (const [layout, one, two, current] of cases) {
    const reading = readEnvironment([copyWith("x=1", one), copyWith("x=2", two)], layout);
    assert.is(reading.current, current, `${layout} ${one} ${two}`);
    assert.equal(holds(reading), { x: current === 0 ? "1" : "2" });
  }
});

test("one torn copy: the other counts, whatever the flags, with a reason; both torn: no environment", () => {
  const torn = copyWith("x=1", 9);
  torn[20] = 1;
  for (const [copies, current] of [
    [[torn, copyWith("x=2", 3)], 1],
    [[copyWith("x=2", 3), torn], 0],
    [[null, copyWith("x=2", 3)], 1],
  ] as const) {
    const reading = readEnvironment(copies, "incremental");
    assert.equal([holds(reading), reading.current, reading.flags], [{ x: "2" }, current, 3]);
    assert.match(reading.reason ?? "", copies[0] === null ? "copy 1 of U-Boot's environment cannot be read" : "is torn");
  }
  const both = readEnvironment([torn, torn], "incremental");
  assert.equal([both.condition, both.variables, both.current], ["unreadable", null, null]);
  assert.is(readEnvironment([new Uint8Array(3)], "single").reason, "U-Boot's environment has only 3 bytes");
  assert.is(readEnvironment([], "single").condition, "unreadable");
});

test("the other layout's header is told from a torn copy", () => {
  assert.match(
    readEnvironment([vector("redundant")], "single").reason ?? "",
    "is one of an environment of two copies, and fw_env.config says one",
  );
  assert.match(
    readEnvironment([vector("single"), vector("single")], "incremental").reason ?? "",
    "copy 2 of U-Boot's environment is one of an environment of one copy, and fw_env.config says two",
  );
});

/** One copy with these bytes as records. */
function raw(data: string, size = 64): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(Buffer.from(data, "latin1"), 4);
  new DataView(bytes.buffer).setUint32(0, Bun.hash.crc32(bytes.subarray(4)), true);
  return bytes;
}

test("records as U-Boot's importer takes them", () => {
  const reading = readEnvironment([raw("a=1\0a=2\0  b=x=y\0#c=3\0d=\0gone=1\0gone\0e=\xe9\\\\\0\0f=6\0")], "single");
  assert.equal(holds(reading), { a: "2", b: "x=y", d: "", e: "\xe9\\\\" });
  const unended = readEnvironment([raw(`a=${"x".repeat(58)}`)], "single");
  assert.is(holds(unended).a?.length, 58);
  assert.is(unended.reason, "U-Boot's environment has no end mark");
});

test("a record without a name makes U-Boot drop all: unreadable, and the next write mends it", () => {
  const reading = readEnvironment([raw("a=1\0=2\0b=3\0")], "single");
  assert.is(reading.condition, "unreadable");
  assert.match(reading.reason ?? "", "has a record without a name");
  const written = after([raw("")], changeEnvironment(reading, "single", 64, new Map()));
  assert.equal(holds(readEnvironment(written, "single")), { a: "1", b: "3" });
});

test("a change keeps the order, what is unknown and what is twice; a changed one is there once", () => {
  const reading = readEnvironment([raw("#note\0BOOT_A_LEFT=1\0a=1\0a=2\0.flags=a:dr\0BOOT_A_LEFT=2\0odd\0z=9\0", 96)], "single");
  const changes = new Map([
    ["BOOT_A_LEFT", "3"],
    ["z", null],
    ["absent", null],
    ["new", "4"],
  ]);
  const [written = new Uint8Array()] = after([raw("", 96)], changeEnvironment(reading, "single", 96, changes));
  assert.is(
    Buffer.from(written.subarray(4)).toString("latin1").replace(/\0+$/, ""),
    "#note\0a=1\0a=2\0.flags=a:dr\0BOOT_A_LEFT=3\0odd\0new=4",
  );
});

test("the copy that is not in use is written, with the next flags; a byte of flags wraps", () => {
  const cases: [EnvironmentLayout, number, number, number, number][] = [
    ["incremental", 3, 2, 1, 4],
    ["incremental", 2, 3, 0, 4],
    ["incremental", 254, 255, 0, 0],
    ["incremental", 0, 255, 1, 1],
    ["boolean", 1, 0, 1, 1],
    ["boolean", 0, 1, 0, 1],
    ["boolean", 255, 0, 1, 1],
  ];
  for (const [layout, one, two, copy, flags] of cases) {
    const copies = [copyWith("x=1", one), copyWith("x=2", two)];
    const change = changeEnvironment(readEnvironment(copies, layout), layout, 64, new Map([["x", "9"]]));
    const [first, second] = change.writes ?? [];
    assert.equal([first?.copy, first?.offset, first?.bytes[4]], [copy, 0, flags], `${layout} ${one} ${two}`);
    const obsolete = { copy: 1 - copy, offset: 4, bytes: Uint8Array.of(0) };
    assert.equal(second, layout === "boolean" ? obsolete : undefined);
    const reading = readEnvironment(after(copies, change), layout);
    assert.equal([holds(reading), reading.current], [{ x: "9" }, copy]);
  }
});

test("a write that is cut anywhere leaves two copies with the old or the new", () => {
  for (const layout of ["incremental", "boolean"] as const) {
    let copies = [copyWith("x=1", 1), copyWith("x=0", 0)];
    for (let round = 2; round < 520; round++) {
      const change = changeEnvironment(readEnvironment(copies, layout), layout, 64, new Map([["x", String(round)]]));
      for (const whole of [0, 1]) {
        const { x } = holds(readEnvironment(after(copies, change, whole), layout));
        assert.ok(x === String(round) || x === String(round - 1), `${layout}: ${x} in round ${round}`);
        assert.ok(whole === 1 || x === String(round - 1));
      }
      copies = after(copies, change);
      assert.is(holds(readEnvironment(copies, layout)).x, String(round));
    }
  }
});

test("a cut write of one copy leaves none, and the next write makes it whole", () => {
  const copies = [raw("x=1\0")];
  const change = changeEnvironment(readEnvironment(copies, "single"), "single", 64, new Map([["x", "234567"]]));
  assert.equal(
    change.writes?.map(({ copy }) => copy),
    [0],
  );
  const torn = copies.map((copy) => Uint8Array.from(copy));
  torn[0]?.set(change.writes?.[0]?.bytes.subarray(0, 7) ?? [], 0);
  const reading = readEnvironment(torn, "single");
  assert.is(reading.condition, "unreadable");
  const again = changeEnvironment(reading, "single", 64, new Map([["x", "2"]]));
  assert.equal(holds(readEnvironment(after(torn, again), "single")), { x: "2" });
});

test("with both copies lost the first one is written; a lost one needs no mark", () => {
  for (const layout of ["incremental", "boolean"] as const) {
    const change = changeEnvironment(readEnvironment([null, null], layout), layout, 64, new Map([["x", "1"]]));
    assert.equal(
      change.writes?.map(({ copy, bytes }) => [copy, bytes[4]]),
      [[0, 1]],
    );
  }
});

test("nothing to change is nothing to write, and what does not fit or is not plain is not written", () => {
  const reading = readEnvironment([raw("x=1\0")], "single");
  assert.equal(changeEnvironment(reading, "single", 64, new Map([["x", "1"]])), { writes: [], reason: null });
  assert.equal(changeEnvironment(reading, "single", 64, new Map([["y", null]])), { writes: [], reason: null });
  assert.is(changeEnvironment(reading, "single", 64, new Map([["x", "1".repeat(56)]])).writes?.length, 1);
  assert.is(
    changeEnvironment(reading, "single", 64, new Map([["x", "1".repeat(57)]])).reason,
    "U-Boot's environment is full: 61 bytes of variables, room for 60",
  );
  for (const [name, value] of [
    ["", "1"],
    ["a=b", "1"],
    ["#a", "1"],
    ["a b", "1"],
    ["a", "1\0"],
    ["a", "é"],
    ["a", "1\n"],
  ] as const) {
    assert.match(changeEnvironment(reading, "single", 64, new Map([[name, value]])).reason ?? "", "not plain ASCII");
  }
});

test("any bytes are read without throwing, and any variables come back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (one, two) => {
      for (const layout of ["single", "incremental", "boolean"] as const) readEnvironment([one, two], layout);
    }),
  );
  const plain = fc.string({ unit: fc.constantFrom(..."abcXYZ019_.- "), maxLength: 8 });
  const name = plain.map((text) => `n${text.replaceAll(" ", "")}`);
  const layouts = fc.constantFrom<EnvironmentLayout>("single", "incremental", "boolean");
  fc.assert(
    fc.property(fc.dictionary(name, plain), layouts, (wanted, layout) => {
      const blank = readEnvironment([null, null], layout);
      const change = changeEnvironment(blank, layout, 4096, new Map(Object.entries(wanted)));
      const copies = after([new Uint8Array(4096), new Uint8Array(4096)], change);
      assert.equal(holds(readEnvironment(copies, layout)), { ...wanted });
    }),
  );
});

/** fw_printenv and fw_setenv on files, with "SIZE" in hex. */
function tools(copies: readonly Uint8Array[]): {
  print: () => Record<string, string>;
  set: (name: string, value: string) => void;
  copies: () => Uint8Array[];
  write: (copies: readonly Uint8Array[]) => void;
} {
  const files = copies.map((_copy, number) => join(directory, `copy-${number}`));
  const write = (bytes: readonly Uint8Array[]) => {
    for (const [at, file] of files.entries()) writeFileSync(file, bytes[at] ?? new Uint8Array());
  };
  write(copies);
  const config = join(directory, "fw_env.config");
  writeFileSync(config, files.map((file, at) => `${file} 0x0 0x${copies[at]?.length.toString(16)}\n`).join(""));
  const run = (program: string, words: string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, ["-c", config, ...words], { encoding: "latin1" });
    assert.is(status, 0, `${program}: ${stderr}`);
    return stdout;
  };
  return {
    print: () =>
      Object.fromEntries(
        run("fw_printenv", [])
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
      ),
    set: (name, value) => void run("fw_setenv", [name, value]),
    copies: () => files.map((file) => new Uint8Array(readFileSync(file))),
    write,
  };
}

for (const layout of ["single", "incremental"] as const) {
  test(`fw_printenv and fw_setenv beside us, ${layout}: what either writes the other reads`, () => {
    const start = layout === "single" ? [vector("single")] : [vector("redundant"), vector("redundant")];
    const fw = tools(start);
    const ours = (changes: [string, string | null][]) => {
      const reading = readEnvironment(fw.copies(), layout);
      fw.write(after(fw.copies(), changeEnvironment(reading, layout, 160, new Map(changes))));
    };
    // More than 256 writes: the byte of flags wraps under both hands.
    for (let round = 0; round < 270; round++) {
      if (round % 16 === 0) fw.set("BOOT_A_LEFT", String(round));
      else ours([["BOOT_A_LEFT", String(round)]]);
      if (round % 16 === 1) assert.equal(fw.print(), { ...variables, BOOT_A_LEFT: String(round) });
      assert.equal(holds(readEnvironment(fw.copies(), layout)), { ...variables, BOOT_A_LEFT: String(round) });
    }
    ours([["bootcmd", null]]);
    fw.set("extra", "1");
    const { bootcmd: _gone, ...rest } = variables;
    const last = { ...rest, BOOT_A_LEFT: "269", extra: "1" };
    assert.equal(fw.print(), last);
    assert.equal(holds(readEnvironment(fw.copies(), layout)), last);
  });
}

test("what fw_setenv keeps of .flags is kept by us, and its types still bind fw_setenv", () => {
  const fw = tools([raw("a=1\0b=2\0.flags=a:sr\0", 64)]);
  const reading = readEnvironment(fw.copies(), "single");
  fw.write(after(fw.copies(), changeEnvironment(reading, "single", 64, new Map([["b", "3"]]))));
  assert.is(holds(readEnvironment(fw.copies(), "single"))[".flags"], "a:sr");
  assert.equal(fw.print(), { a: "1", b: "3" });
  fw.set("a", "2");
  assert.equal(fw.print(), { a: "1", b: "3" });
});

test.run();
