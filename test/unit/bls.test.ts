import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { nextOfLoader, readEntries } from "../../boot/stores/bls.ts";
import { blessed, condemned, countedDown, type EntryKind, printEntryName, readEntryName } from "../../boot/stores/bls-names.ts";
import { compareVersions, type EntryFile, loaderOrder } from "../../boot/stores/bls-order.ts";
import { type EntryStep, newImageName, planEntries } from "../../boot/stores/bls-plan.ts";
import { entryOptions, entryValue, entryWord, withValue, withWord } from "../../boot/stores/bls-text.ts";
import type { StoreSlot, StoreView } from "../../boot/stores/view.ts";

const slots: StoreSlot[] = [
  { name: "a", bootname: "A" },
  { name: "b", bootname: "B" },
  { name: "c", bootname: "C" },
];
const keyed = "sort-key slipway\n";
const nonce = "00112233445566ff";

function conf(name: string, slot: string, options = "", more = ""): EntryFile {
  return {
    name,
    text: `title System ${slot}\n${more}linux /slipway/${slot}/linux\noptions quiet slipway.slot=${slot}${options}\n`,
  };
}

function image(name: string, release = "ID=slipway\nPRETTY_NAME=System\n"): EntryFile {
  return { name, text: release };
}

/** The directory after `steps`. */
function after(files: readonly EntryFile[], steps: readonly EntryStep[]): EntryFile[] {
  const map = new Map(files.map((file) => [file.name, file.text]));
  for (const step of steps) {
    const name = step.do === "rename" ? step.from : step.name;
    if (step.do === "write") assert.not.ok(map.has(name), `${name} is written, but there`);
    else assert.ok(map.has(name), `${name} is not there`);
    const text = step.do === "write" ? step.text : (map.get(name) ?? "");
    if (step.do !== "write") map.delete(name);
    if (step.do === "rename") assert.not.ok(map.has(step.to), `${step.to} is there`);
    if (step.do !== "remove") map.set(step.do === "rename" ? step.to : name, text);
  }
  return [...map].map(([name, text]) => ({ name, text }));
}

function view(files: readonly EntryFile[], kind: EntryKind = "conf"): StoreView {
  const reading = readEntries(files, slots, kind);
  if (reading.condition !== "valid") throw new Error(reading.reason);
  return reading.view;
}

for (const [name, id, left, done] of [
  ["a.conf", "a", null, null],
  ["a+3.conf", "a", 3, null],
  ["a+2-1.efi", "a", 2, 1],
  ["a+0-3.conf", "a", 0, 3],
  ["a+1+2.conf", "a+1", 2, null],
  ["a+2147483647-2147483647.conf", "a", 2147483647, 2147483647],
] as const) {
  test(`the name ${name}`, () => {
    const parsed = readEntryName(name);
    assert.is(parsed?.id, id);
    assert.is(parsed?.counter?.left ?? null, left);
    assert.is(parsed?.counter?.done ?? null, done);
    assert.is(parsed && printEntryName(parsed), name);
  });
}

for (const name of [
  "a+.conf",
  "a+-1.conf",
  "a+3-.conf",
  "a+3-x.conf",
  "a+3x.conf",
  "a+2147483648.conf",
  "a+3-2147483648.conf",
  "a+ 3.conf",
  "a+3.CONF",
])
  test(`no counter in ${name}`, () => assert.is(readEntryName(name)?.counter, null));

for (const name of [".conf", ".a.conf", "auto-a.conf", "a", "a.conf.twin", "a.txt", "a.conf.new", "a.template", ""])
  test(`no entry: "${name}"`, () => assert.is(readEntryName(name), null));

test("the loader counts down to nothing left and further", () => {
  const names = ["s+3.efi"];
  for (let boot = 0; boot < 4; boot++) {
    const parsed = readEntryName(names.at(-1) ?? "");
    assert.ok(parsed);
    names.push(printEntryName(countedDown(parsed)));
  }
  assert.equal(names, ["s+3.efi", "s+2-1.efi", "s+1-2.efi", "s+0-3.efi", "s+0-4.efi"]);
  assert.is(printEntryName(countedDown({ id: "s", counter: null, kind: "efi" })), "s.efi");
});

test("versions are compared as systemd-analyze compares them", () => {
  const words = [
    "",
    "1",
    "01",
    "1.0",
    "1.0~rc1",
    "1.0-1",
    "1.0^1",
    "1.0a",
    "1.0.a",
    "a",
    "B",
    "a+3.conf",
    "a.conf",
    "slipway-10-a",
    "slipway-9-b+3",
  ];
  for (const a of words.slice(1)) {
    for (const b of words.slice(1)) {
      const { status } = spawnSync("systemd-analyze", ["compare-versions", a, b]);
      const expected = status === 11 ? 1 : status === 12 ? -1 : 0;
      assert.is(Math.sign(compareVersions(a, b)), expected, `${a} and ${b}`);
    }
  }
  assert.is(compareVersions("", "1"), -1);
});

test("text: what is not asked for stays", () => {
  const text = '# ours\ntitle  A "b"\n\nfuture key=1\noptions quiet\n\toptions  x=1 slipway.nonce=0 y\n';
  assert.is(entryOptions(text), "quiet x=1 slipway.nonce=0 y");
  assert.is(entryWord(text, "slipway.nonce"), "0");
  assert.is(
    withWord(text, "slipway.nonce", nonce),
    text.replace("\toptions  x=1 slipway.nonce=0 y", `options x=1 y slipway.nonce=${nonce}`),
  );
  assert.is(withWord(text, "absent", null), text);
  assert.is(withValue(text, "sort-key", "k"), `${text}sort-key k\n`);
  assert.is(entryValue(withValue(`${text}sort-key x\nsort-key y\n`, "sort-key", "k"), "sort-key"), "k");
  assert.is(withWord("linux /l", "a", "1"), "linux /l\noptions a=1\n");
});

test("the loader's order: spent last, keyed first, newest first", () => {
  const files = [
    conf("old.conf", "A"),
    conf("spent+0-3.conf", "A", "", "sort-key a\n"),
    conf("v1.conf", "A", "", "sort-key b\nversion 1.9\n"),
    conf("v2+1.conf", "A", "", "sort-key b\nversion 1.10\n"),
    conf("new.conf", "A"),
    { name: "nolinux.conf", text: "title x\n" },
  ];
  assert.equal(
    loaderOrder(files).map(({ name }) => name),
    ["v2+1.conf", "v1.conf", "old.conf", "new.conf", "spent+0-3.conf"],
  );
});

test("a directory is read", () => {
  const files = [
    conf("slipway-2-A.conf", "A", ` slipway.nonce=${nonce}`, keyed),
    conf("slipway-3-B+2-1.conf", "b", ` slipway.nonce=${nonce}`, keyed),
    conf("slipway-1-C+0-3.conf", "C", ` slipway.nonce=${nonce}`, keyed),
    conf("debian.conf", "elsewhere"),
  ];
  assert.equal(readEntries(files, slots, "conf"), {
    condition: "valid",
    view: {
      slots: {
        a: { priority: 2, tries: null, good: true },
        b: { priority: 3, tries: 2, good: null },
        c: { priority: 1, tries: 0, good: false },
      },
      nonce,
    },
    reason: null,
  });
  assert.is(nextOfLoader(files, slots, "conf"), "b");
});

test("an entry that is bad keeps its priority in the view, though the loader boots it last", () => {
  const files = [conf("slipway-2-A+0-3.conf", "A", "", keyed), conf("slipway-1-B.conf", "B", "", keyed)];
  assert.is(view(files).slots.a?.priority, 2);
  assert.is(nextOfLoader(files, slots, "conf"), "b");
});

test("an empty directory, one of others, and one of the other kind", () => {
  assert.is(readEntries([], slots, "conf").condition, "empty");
  assert.is(readEntries([conf("debian.conf", "x")], slots, "conf").condition, "empty");
  assert.is(readEntries([conf("slipway-1-A.conf", "A")], slots, "efi").condition, "empty");
});

test("twins: the counted one is taken, the other gets out of the loader's sight", () => {
  const files = [conf("slipway-1-A.conf", "A"), conf("slipway-1-A+2-1.conf", "A"), conf("slipway-1-A+1-2.conf", "A")];
  const reading = readEntries(files, slots, "conf");
  assert.equal(reading.view?.slots.a, { priority: 1, tries: 1, good: null });
  assert.match(reading.reason ?? "", "slipway-1-A+1-2.conf is taken");
  const { steps } = planEntries(files, slots, "conf", view(files));
  const left = after(files, steps);
  assert.equal(readEntries(left, slots, "conf").reason, 'slot "b" has no entry; slot "c" has no entry');
  assert.not.ok(
    steps.some((step) => step.do === "remove" && step.name !== "slipway-1-A+1-2.conf"),
    "of equal files none is removed",
  );
  const commit = { slots: { a: { priority: 1, tries: null, good: true } }, nonce: null };
  assert.equal(view(after(files, planEntries(files, slots, "conf", commit).steps)), commit);
});

test("of two ranks the higher is newer, and the other is removed when its text differs", () => {
  const newer = conf("slipway-4-A+3.conf", "A", ` slipway.nonce=${nonce}`, keyed);
  const files = [conf("slipway-1-A.conf", "A"), newer];
  assert.equal(view(files), { slots: { a: { priority: 1, tries: 3, good: null } }, nonce });
  assert.equal(planEntries(files, slots, "conf", view(files)).steps, [{ do: "remove", name: "slipway-1-A.conf" }]);
});

test("an entry torn at its making is removed, a stranger's file for the same slot is not", () => {
  const good = conf("slipway-1-A.conf", "A", "", keyed);
  const files = [good, { name: "slipway-2-B+3.conf", text: "" }, conf("rescue.conf", "A")];
  assert.match(readEntries(files, slots, "conf").reason ?? "", "slipway-2-B+3.conf is no entry");
  assert.equal(planEntries(files, slots, "conf", view(files)).steps, [{ do: "remove", name: "slipway-2-B+3.conf" }]);
});

test("a lost entry comes back from its template, and is said where there is none", () => {
  const template = { name: "slipway-B.template", text: "title B\nversion 1\nlinux /b\ninitrd /i\noptions quiet\n" };
  const files = [conf("slipway-1-A.conf", "A", "", keyed), template];
  const wanted: StoreView = {
    slots: {
      a: { priority: 1, tries: null, good: true },
      b: { priority: 2, tries: 3, good: null },
      c: { priority: 0, tries: 0, good: false },
    },
    nonce: null,
  };
  const plan = planEntries(files, slots, "conf", wanted);
  assert.is(plan.obstacles.length, 1);
  assert.match(plan.obstacles[0] ?? "", 'slot "c" has no entry');
  const made = after(files, plan.steps).find(({ name }) => name === "slipway-2-B+3.conf");
  assert.match(made?.text ?? "", "linux /b\ninitrd /i\noptions quiet slipway.slot=B\n");
  assert.is(nextOfLoader(after(files, plan.steps), slots, "conf"), "b");
  assert.ok(after(files, plan.steps).includes(template) || after(files, plan.steps).some(({ name }) => name === template.name));
});

test("unified kernel images: one rename makes another slot the first, and the version in the name stays", () => {
  const files = [image("slipway-2-A-1.4.efi"), image("slipway-1-B-2.0+0-3.efi")];
  const wanted: StoreView = {
    slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: 3, good: null } },
    nonce: null,
  };
  const { steps } = planEntries(files, slots, "efi", wanted);
  assert.equal(steps, [{ do: "rename", from: "slipway-1-B-2.0+0-3.efi", to: "slipway-3-B-2.0+3.efi" }]);
  assert.is(nextOfLoader(after(files, steps), slots, "efi"), "b");
});

test("a new unified kernel image lies beside the old one, out of boots, and takes its place when it is activated", () => {
  const files = [image("slipway-4-A.efi"), image("slipway-3-B-0000.efi")];
  const b = { name: "b", bootname: "B" };
  const name = newImageName(files, slots, b, "-1111");
  assert.is(name, "slipway-5-B-1111+0.efi");
  const torn = [...files, image(name, "")];
  assert.match(readEntries(torn, slots, "efi").reason ?? "", `${name} is no entry`);
  assert.is(view(torn, "efi").slots.b?.good, true);
  assert.equal(planEntries(torn, slots, "efi", view(torn, "efi")).steps, [{ do: "remove", name }]);
  const both = [...files, image(name)];
  assert.is(nextOfLoader(both, slots, "efi"), "a");
  assert.is(view(both, "efi").slots.b?.good, false);
  const wanted: StoreView = {
    slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: 3, good: null } },
    nonce: null,
  };
  assert.equal(planEntries(both, slots, "efi", wanted).steps, [
    { do: "remove", name: "slipway-3-B-0000.efi" },
    { do: "rename", from: name, to: "slipway-5-B-1111+3.efi" },
  ]);
});

test("unified kernel images with versions inside cannot be ordered by their names, and nothing is changed then", () => {
  const files = [image("slipway-2-A.efi", "ID=x\nVERSION_ID=2\n"), image("slipway-1-B.efi", "ID=x\nVERSION_ID=1\n")];
  const wanted: StoreView = {
    slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: 3, good: null } },
    nonce: null,
  };
  const { steps, obstacles } = planEntries(files, slots, "efi", wanted);
  assert.equal(steps, []);
  assert.match(obstacles[0] ?? "", "slipway-3-B+3.efi cannot be put before slipway-2-A.efi");
});

for (const line of readFileSync("test/vectors/systemd-bless-boot.txt", "utf8").split("\n")) {
  const [before, verb, result] = line.split(" ");
  if (before === undefined || before === "" || before === "#" || verb === "indeterminate") continue;
  test(`systemd-bless-boot ${verb} of ${before}`, () => {
    const parsed = readEntryName(before);
    assert.ok(parsed);
    // it refuses to bless what the loader does not count
    const counted = parsed.counter !== null;
    assert.is(counted ? printEntryName(verb === "good" ? blessed(parsed) : condemned(parsed)) : before, result);
  });
}

const looseSlot = fc.constantFrom(
  { priority: 1, tries: null, good: true },
  { priority: 1, tries: 3, good: null },
  { priority: 1, tries: 1, good: null },
  { priority: 1, tries: 0, good: false },
  { priority: 0, tries: 0, good: false },
);

const anyView = fc
  .tuple(
    fc.shuffledSubarray(["a", "b", "c"], { minLength: 3 }),
    fc.array(looseSlot, { minLength: 3, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([names, said, withNonce]) => {
    const result: StoreView = { slots: {}, nonce: withNonce ? nonce : null };
    names.forEach((name, place) => {
      const slot = said[place];
      if (slot) result.slots[name] = { ...slot, priority: slot.priority === 0 ? 0 : names.length - place };
    });
    return result;
  });

/** What the loader obeys of a view: tries, and the order of what is not given up. */
function obeyed({ slots: said }: StoreView): unknown {
  const isBad = (name: string) => said[name]?.priority === 0 || said[name]?.good === false;
  const names = Object.keys(said).sort();
  const order = names.filter((name) => !isBad(name)).sort((a, b) => (said[b]?.priority ?? 0) - (said[a]?.priority ?? 0));
  return {
    order,
    tries: names.map((name) => (isBad(name) ? 0 : said[name]?.tries)),
    good: names.map((name) => (isBad(name) ? false : said[name]?.good)),
  };
}

for (const kind of ["conf", "efi"] as const) {
  test(`${kind}: any view after any other is what is read then; at each cut the loader has a slot to boot, and the plan is carried on`, () => {
    fc.assert(
      fc.property(fc.array(anyView, { minLength: 1, maxLength: 4 }), (views) => {
        let files = slots.map(({ bootname }) =>
          kind === "conf" ? conf(`${bootname}.conf`, bootname) : image(`slipway-${bootname}.efi`),
        );
        for (const wanted of views) {
          const { steps, obstacles } = planEntries(files, slots, kind, wanted);
          assert.equal(obstacles, []);
          for (let cut = 0; cut <= steps.length; cut++) {
            const torn = after(files, steps.slice(0, cut));
            assert.is.not(nextOfLoader(torn, slots, kind), null, JSON.stringify(torn));
            const again = after(torn, planEntries(torn, slots, kind, wanted).steps);
            assert.equal(obeyed(view(again, kind)), obeyed(wanted));
            assert.is(view(again, kind).nonce, kind === "efi" ? null : wanted.nonce);
            assert.equal(planEntries(again, slots, kind, wanted).steps, []);
          }
          files = after(files, steps);
          const first = nextOfLoader(files, slots, kind);
          const able = Object.entries(wanted.slots).filter(([, { priority, good }]) => priority > 0 && good !== false);
          if (able.length > 0) assert.is(first, able.sort(([, a], [, b]) => b.priority - a.priority)[0]?.[0]);
        }
      }),
    );
  });
}

test.run();
