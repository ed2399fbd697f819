import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson, canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import type { ControlBootRecord, ControlFile, SlotDefinition } from "../../state-ops/control.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { isPlainRecord, readControlWith } from "../../state-ops/read-plain-control.ts";
import { compileTexts, problemsOf, sampleSystem } from "../samples/compile.ts";
import { refusesControl, sampleControl } from "../samples/control-file.ts";

/** system.yaml with another `boot-record:`, on line 6. */
function systemWith(bootRecord: string, more = ""): string {
  const system = sampleSystem.replace(/boot-record: .*/, `boot-record: { ${bootRecord} }`) + more;
  if (!bootRecord.startsWith("store: tryboot")) return system;
  return system
    .replace("PARTLABEL=root-a", 'PARTLABEL=root-a, bootname: "2"')
    .replace("PARTLABEL=root-b", 'PARTLABEL=root-b, bootname: "3"');
}

const device = "PARTLABEL=boot-record";
const grubenv = { device: "PARTLABEL=esp", file: "grub/grubenv", dialect: "rauc" } as const;
const raw = { device: "/dev/mmcblk0", offset: 0x100000, size: 0x4000, sectorSize: 0, sectors: 0 };

/** What is written in system.yaml, and what becomes of it. */
const stores: [yaml: string, bootRecord: ControlBootRecord][] = [
  ["store: record, device: PARTLABEL=boot-record", { store: "record", device }],
  ["store: record", { store: "record", device: null }],
  [
    "store: grubenv, device: PARTLABEL=boot-record, grubenv: { device: PARTLABEL=esp, file: grub/grubenv, dialect: rauc }",
    { store: "grubenv", device, grubenv },
  ],
  [
    "store: grubenv, grubenv: { device: PARTLABEL=esp, file: grubenv, dialect: slipway }",
    { store: "grubenv", device: null, grubenv: { device: "PARTLABEL=esp", file: "grubenv", dialect: "slipway" } },
  ],
  [
    "store: uboot-env, uboot-env: { config: one.config, dialect: rauc-decimal }",
    { store: "uboot-env", device: null, environment: { copies: [raw], dialect: "rauc-decimal" } },
  ],
  [
    "store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: two.config, dialect: rauc }",
    {
      store: "uboot-env",
      device,
      environment: { copies: [raw, { ...raw, offset: 0x104000 }], dialect: "rauc" },
    },
  ],
  [
    "store: uboot-env, uboot-env: { config: file.config, dialect: rauc, device: PARTLABEL=boot }",
    {
      store: "uboot-env",
      device: null,
      environment: { copies: [{ device: "PARTLABEL=boot", file: "uboot.env", size: 0x4000 }], dialect: "rauc" },
    },
  ],
  [
    "store: uboot-env, uboot-env: { config: deep.config, dialect: rauc, device: PARTLABEL=boot, mount: /mnt }",
    {
      store: "uboot-env",
      device: null,
      environment: { copies: [{ device: "PARTLABEL=boot", file: "boot/uboot.env", size: 0x4000 }], dialect: "rauc" },
    },
  ],
  ["store: gpt, gpt: { dialect: chromeos }", { store: "gpt", device: null, dialect: "chromeos" }],
  ["store: gpt, device: /dev/vda9, gpt: { dialect: gptprio }", { store: "gpt", device: "/dev/vda9", dialect: "gptprio" }],
  [
    "store: bls, bls: { device: PARTLABEL=esp, directory: EFI/Linux }",
    { store: "bls", device: null, bls: { device: "PARTLABEL=esp", directory: "EFI/Linux" } },
  ],
  ["store: tryboot, tryboot: { device: LABEL=boot }", { store: "tryboot", device: null, tryboot: { device: "LABEL=boot" } }],
];

const texts = {
  "one.config": "/dev/mmcblk0 0x100000 0x4000\n",
  "two.config": "# Device Offset Size\n/dev/mmcblk0 0x100000 0x4000\n/dev/mmcblk0 0x104000 0x4000\n",
  "file.config": "/boot/uboot.env 0x0 0x4000\n",
  "deep.config": "/mnt/boot/uboot.env 0x0 0x4000\n",
  "wrong.config": "/dev/mmcblk0 0x100000\n",
  "slot.config": "/dev/vda3 0x0 0x4000\n",
};

for (const [yaml, bootRecord] of stores) {
  test(`system.yaml says ${yaml}, and PID 1 reads it`, () => {
    const { control, text } = compileTexts({ system: systemWith(yaml), texts });
    assert.equal(control.bootRecord, bootRecord);
    assert.equal(readControl(text).bootRecord, bootRecord);
    assert.is(isPlainRecord(text), bootRecord.store === "record" && bootRecord.device !== null);
  });
}

test("only a partition without bootnames is read without what the other stores need", () => {
  const plain = canonicalJsonWithDigest(sampleControl());
  assert.ok(isPlainRecord(plain));
  assert.is(canonicalJson(readControlWith(plain, null)), plain);
  const named = canonicalJsonWithDigest(sampleControl({ slots: [{ name: "a", bootname: "A", device: "LABEL=a" }] }));
  assert.not(isPlainRecord(named));
  const other = canonicalJsonWithDigest(sampleControl({ bootRecord: { store: "grubenv", device, grubenv } }));
  assert.throws(() => readControlWith(other, null), /bootRecord\.grubenv is not known/);
  // A label that looks like the end of the object cannot pass another store for the plain one.
  const bootRecord = { store: "gpt", dialect: "gptprio", device: 'LABEL=x","store":"record"}' } as const;
  assert.not(isPlainRecord(canonicalJsonWithDigest(sampleControl({ bootRecord }))));
});

test("slots have the names that the bootloader knows, and who chooses may be the loader", () => {
  const system = systemWith(stores[2]?.[0] ?? "", "chooser: loader\n")
    .replace("root-b }", "root-b, bootname: B }")
    .replace("  a: { device: PARTLABEL=root-a }", "  a: { file: images/a.img, size: 1M, bootname: A_1 }");
  const { control } = compileTexts({ system });
  assert.equal(control.slots, [
    { name: "b", device: "PARTLABEL=root-b", bootname: "B" },
    { name: "a", file: "images/a.img", size: 1048576, bootname: "A_1" },
  ]);
  assert.is(control.chooser, "loader");
});

const grub = "store: grubenv, grubenv: { device: PARTLABEL=esp, file: grubenv, dialect: rauc }";

const mistakes: [what: string, system: string, message: RegExp][] = [
  ["no such store", systemWith("store: lilo"), /^system\.yaml:6:23: "store" must be record or grubenv or .* is "lilo"$/],
  ["a store without its map", systemWith("store: grubenv"), /^system\.yaml:6:23: "store: grubenv" needs "grubenv:" beside it/],
  [
    "another store's map",
    systemWith("store: record, device: LABEL=x, gpt: { dialect: gptprio }"),
    /^system\.yaml:6:\d+: "gpt" is of "store: gpt", and the store is record; leave it out/,
  ],
  [
    "an unknown dialect",
    systemWith(grub.replace("rauc", "mender")),
    /^system\.yaml:6:\d+: "dialect" must be rauc or slipway, is "mender"$/,
  ],
  [
    "a missing file",
    systemWith("store: grubenv, grubenv: { device: LABEL=x, dialect: rauc }"),
    /^system\.yaml:6:.*"file" is missing/,
  ],
  ["an unknown key", systemWith(grub.replace("dialect", "size: 1, dialect")), /^system\.yaml:6:\d+: "size" is no key/],
  ["no directory of systemd-boot's", systemWith("store: bls, bls: { device: LABEL=x, directory: boot }"), /"directory" must be/],
  [
    "an absolute path",
    systemWith(grub.replace("file: ", "file: /")),
    /^system\.yaml:6:\d+: "\/grubenv" is no path in the filesystem/,
  ],
  ["a path that climbs", systemWith(grub.replace("file: ", "file: ../")), /"\.\.\/grubenv" is no path in the filesystem/],
  [
    "a configuration that is not there",
    systemWith("store: uboot-env, uboot-env: { config: x, dialect: rauc }"),
    /^system\.yaml:6:\d+: x cannot be read$/,
  ],
  [
    "a configuration that says too little",
    systemWith("store: uboot-env, uboot-env: { config: wrong.config, dialect: rauc }"),
    /^wrong\.config:1:\d+: .*write DEVICE OFFSET SIZE/,
  ],
  [
    "a file without its filesystem",
    systemWith("store: uboot-env, uboot-env: { config: file.config, dialect: rauc }"),
    /^file\.config:1:1: "\/boot\/uboot\.env" is a file, and nothing says on which filesystem/,
  ],
  [
    "an environment in a slot",
    systemWith("store: uboot-env, uboot-env: { config: slot.config, dialect: rauc }").replace("PARTLABEL=root-b", "/dev/vda3"),
    /^system\.yaml:6:\d+: \/dev\/vda3 is slot b, where no bootloader keeps its store/,
  ],
  ["a store in the record", systemWith(`device: PARTLABEL=esp, ${grub}`), /PARTLABEL=esp is slipway's own boot record/],
  ["a store in the data", systemWith(grub.replace("esp", "sys-data")), /PARTLABEL=sys-data is the data filesystem/],
  [
    "a store's device that is none",
    systemWith(grub.replace("PARTLABEL=esp", "UUID=x")),
    /^system\.yaml:6:.*hex digits and dashes/,
  ],
  [
    "nothing to lie on",
    systemWith("store: record").replace(/data: .*\n/, ""),
    /^system\.yaml:5:\d+: without "device" the boot record is a file on the data filesystem, and there is no "data"/,
  ],
  [
    "a name that no variable has",
    systemWith(grub).replace("  b:", "  root-b:"),
    /^system\.yaml:3:\d+: "root-b" cannot be part of a bootloader's variable; give the slot a "bootname"/,
  ],
  [
    "a bootname that no variable has",
    systemWith(grub).replace("root-b }", "root-b, bootname: B-1 }"),
    /^system\.yaml:3:44: "B-1" cannot be part/,
  ],
  [
    "a bootname that is none",
    sampleSystem.replace("root-b }", 'root-b, bootname: "+3" }'),
    /^system\.yaml:3:44: "\+3" cannot name a slot to a bootloader/,
  ],
  [
    "bootnames crossed",
    sampleSystem.replace("root-b }", "root-b, bootname: a }"),
    /^system\.yaml:4:6: slots b and a cannot be told apart/,
  ],
  [
    "bootnames that FAT takes for one",
    systemWith("store: bls, bls: { device: LABEL=x, directory: EFI/Linux }").replace("root-b }", "root-b, bootname: A }"),
    /slots b and a cannot be told apart/,
  ],
  [
    "attributes of a file",
    systemWith("store: gpt, gpt: { dialect: chromeos }").replace("{ device: PARTLABEL=root-b }", "{ file: images/b, size: 1M }"),
    /^system\.yaml:3:14: slot b is a file, and "store: gpt" keeps its bits/,
  ],
  [
    "a slot in a partition table that does not know it",
    systemWith("store: gpt, gpt: { dialect: chromeos }").replace("PARTLABEL=root-b", "LABEL=root-b"),
    /^system\.yaml:3:\d+: "store: gpt" finds a slot in the partition table, which knows no LABEL=root-b; name it by PARTLABEL=/,
  ],
  [
    "tryboot without the number of a partition",
    systemWith("store: tryboot, tryboot: { device: LABEL=x }").replace(`bootname: "3"`, "bootname: B"),
    /^system\.yaml:3:\d+: "store: tryboot" knows slot b by the number of the partition .*, not by "B"; give it that as "bootname"/,
  ],
  [
    "a third slot of tryboot",
    systemWith("store: tryboot, tryboot: { device: LABEL=x }").replace("data:", "  c: { device: LABEL=c }\ndata:"),
    /^system\.yaml:3:\d+: "store: tryboot" knows what boots and what is tried: two slots, and here are 3/,
  ],
];

for (const [what, system, message] of mistakes) {
  test(`refused with its place: ${what}`, () => {
    const [first, ...others] = problemsOf({ system, texts });
    assert.match(first ?? "it compiled", message);
    assert.equal(others, []);
  });
}

const a: SlotDefinition = { name: "a", device: "LABEL=a" };
const environment = (copies: object[]) => ({ store: "uboot-env", device, environment: { copies, dialect: "rauc" } });
const mtd = { ...raw, device: "/dev/mtd1", sectorSize: 0x10000, sectors: 2 };

/** What no compiler writes, and PID 1 refuses all the same. */
const unsound: [what: string, change: object, message: RegExp][] = [
  ["no such store", { bootRecord: { store: "lilo", device } }, /bootRecord\.store must be "record" or "grubenv" or/],
  ["no map", { bootRecord: { store: "grubenv", device } }, /bootRecord\.grubenv is missing/],
  ["another map", { bootRecord: { store: "gpt", device, dialect: "gptprio", grubenv } }, /bootRecord\.grubenv is not known/],
  [
    "a device that is none",
    { bootRecord: { store: "grubenv", device: "x", grubenv } },
    /bootRecord\.device: "x" names no device/,
  ],
  ["no dialect", { bootRecord: { store: "grubenv", device, grubenv: { ...grubenv, dialect: "x" } } }, /grubenv\.dialect must be/],
  ["a path", { bootRecord: { store: "grubenv", device, grubenv: { ...grubenv, file: "a//b" } } }, /"a\/\/b" is no path/],
  ["a directory", { bootRecord: { store: "bls", device, bls: { device, directory: "x" } } }, /bls\.directory must be/],
  ["no copy", { bootRecord: environment([]) }, /names 0 places/],
  ["three copies", { bootRecord: environment([raw, raw, raw]) }, /names 3 places/],
  ["copies of two sizes", { bootRecord: environment([raw, { ...raw, offset: 0, size: 512 }]) }, /have 16384 and 512 bytes/],
  ["copies over each other", { bootRecord: environment([raw, { ...raw, offset: 0x102000 }]) }, /lie over each other/],
  [
    "one file twice",
    {
      bootRecord: environment([
        { device: "LABEL=boot", file: "x", size: 64 },
        { device: "LABEL=boot", file: "x", size: 64 },
      ]),
    },
    /lie over/,
  ],
  ["a small environment", { bootRecord: environment([{ ...raw, size: 4 }]) }, /copies\[0\]\.size must be a whole number from 16/],
  ["a huge environment", { bootRecord: environment([{ ...raw, size: 2 ** 40 }]) }, /copies\[0\]\.size must be a whole number/],
  ["a copy nowhere", { bootRecord: environment([{ device, size: 64 }]) }, /copies\[0\]\.offset is missing/],
  ["a copy at two places", { bootRecord: environment([{ ...raw, file: "x" }]) }, /copies\[0\]\.offset is not known/],
  ["flash from its end", { bootRecord: environment([{ ...mtd, offset: -65536 }]) }, /does not begin with a sector/],
  [
    "half a sector",
    { bootRecord: environment([{ ...mtd, offset: 0x8000 }]) },
    /\/dev\/mtd1: the environment at 32768 does not begin/,
  ],
  [
    "few sectors",
    { bootRecord: environment([{ ...mtd, size: 0x40000 }]) },
    /2 sectors of 65536 bytes hold no environment of 262144/,
  ],
  [
    "flash over each other",
    {
      bootRecord: environment([
        { ...mtd, offset: 0 },
        { ...mtd, offset: 0x10000 },
      ]),
    },
    /lie over each other/,
  ],
  ["no place", { bootRecord: { store: "record", device: null }, data: null }, /boot-record: without "device"/],
  ["a bootname that is none", { slots: [{ ...a, bootname: "x y" }] }, /slots\.a\.bootname: "x y" cannot name a slot/],
  ["an empty bootname", { slots: [{ ...a, bootname: "" }] }, /slots\[0\]\.bootname must be a text/],
  [
    "one bootname twice",
    {
      slots: [
        { ...a, bootname: "X" },
        { ...a, name: "b", bootname: "X" },
      ],
    },
    /cannot be told apart/,
  ],
  ["another chooser", { chooser: "grub" }, /chooser must be "slipway" or "loader"/],
];

for (const [what, change, message] of unsound) {
  test(`PID 1 refuses: ${what}`, () => {
    const text = canonicalJsonWithDigest({ ...sampleControl(), ...change } satisfies Omit<ControlFile, "digest"> | object);
    refusesControl(text, message);
  });
}

test.run();
