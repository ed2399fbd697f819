/** Where GRUB's part of boot/loaders/grub.cfg may find a slot's kernel: the filesystems that this GRUB reads, and boots from them. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { GRUB_DIRECTORY, grubPartitions, grubScript, writeBootSector } from "../../qemu/grub.ts";
import { makeImage } from "../../qemu/images.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { startMachine } from "../../qemu/machine.ts";
import { keptOf, madeOf, slipway } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { writeFiles } from "../../qemu/tree.ts";
import { type SmallImage, smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { consoleWords, smallDisk, smallInitrd, toEnd } from "./support/small-machine.ts";

const system = smallSystem();
const [initrd, { kernel, version }, control] = await Promise.all([smallInitrd(system), guestKernel(), smallControl(system)]);
const options = { memoryMiB: 512, noReboot: true, timeoutMs: 120_000 } as const;

/** Whether Debian's GRUB reads it. What slipway and mksquashfs make unasked is among those that it does not. */
const filesystems: Record<string, boolean> = {
  ext4: true,
  "squashfs gzip": true,
  "squashfs xz": true,
  "squashfs lzo": true,
  "squashfs lz4": false,
  "squashfs zstd": false,
  "erofs none": false,
};

async function filesystemImage(name: string): Promise<string> {
  const [kind = "", compression = ""] = name.split(" ");
  const directory = await keptOf("grub-reads", name, async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    // Long enough to be compressed.
    writeFiles(tree, { "/usr/lib/modules/6.1.0/vmlinuz": `<read ${name}>\n`.repeat(500) });
    if (kind !== "squashfs") await makeImage(tree, `${aside}/image`, kind === "ext4" ? "ext4" : "erofs", { compression: "none" });
    else await runProgram("mksquashfs", [tree, `${aside}/image`, "-quiet", "-no-progress", "-comp", compression]);
  });
  return `${directory}/image`;
}

test("which filesystems of a slot GRUB reads a kernel from, by a pattern", async () => {
  const names = Object.keys(filesystems);
  // Behind bios-boot and esp.
  const lines = names.map(
    (_, index) =>
      `echo "<case ${index}>"; for file in ($disk,gpt${index + 3})/usr/lib/modules/*/vmlinuz; do cat $file; done; echo "<end ${index}>"`,
  );
  const script = `regexp --set=1:disk '^([^,]+)' "$root"\n${lines.join("\n")}\necho "<all>"\nwhile true; do true; done\n`;
  const loader = await grubPartitions("bios", { [`${GRUB_DIRECTORY}/grub.cfg`]: script }, { more: ["cat"] });
  const images = await Promise.all(names.map(async (name, index) => `fs${index}:linux=${await filesystemImage(name)}`));
  const words = [...loader, ...images].flatMap((partition) => ["--partition", partition]);
  const directory = await madeOf("grub-reads-disk", words, async (aside) => {
    writeFiles(aside, { "/system.yaml": system });
    await slipway([
      "disk",
      "build",
      "--system",
      `${aside}/system.yaml`,
      ...words,
      "--size",
      "256M",
      "--slot-size",
      "4M",
      "-o",
      `${aside}/disk`,
    ]);
    writeBootSector(`${aside}/disk`);
  });
  const disk = throwAwayCopy(`${directory}/disk`);
  const machine = await startMachine({ firmware: { kind: "bios" }, disks: [{ file: disk }], memoryMiB: 256, timeoutMs: 60_000 });
  await machine.expect("<all>");
  await machine.cutPower();
  const said = new Map(
    [...machine.console.text.matchAll(/<case (\d+)>([\s\S]*?)<end \1>/g)].map(([, at, text]) => [Number(at), text]),
  );
  const seen = names.map((name, index) => [name, said.get(index)?.split(`<read ${name}>`).length === 501]);
  assert.equal(Object.fromEntries(seen), filesystems);
});

test("one kernel and initrd for both slots, on the boot partition; slipway chooses", async () => {
  const loader = await grubPartitions(
    "bios",
    {
      [`${GRUB_DIRECTORY}/grub.cfg`]: grubScript({ chooser: "slipway", words: consoleWords }),
      vmlinuz: { file: kernel },
      "initrd.img": { file: initrd },
    },
    { mebibytes: 96 },
  );
  const disk = await smallDisk({ slots: { a: { facts: "v1" }, b: { facts: "v2" } }, partitions: loader });
  writeBootSector(disk);
  const told = await toEnd(await startMachine({ ...options, firmware: { kind: "bios" }, disks: [{ file: disk }] }));
  assert.is(told.root, "v1");
  assert.match(told.console, /Command line: BOOT_IMAGE=\/vmlinuz console=ttyS0\r?\n/);
});

/** A slot's ext4 with its own kernel and initrd, where `slipway image build --kernel --initrd` puts them. */
async function withOwnKernel(facts: string): Promise<string> {
  const modules = `usr/lib/modules/${version}`;
  const image: SmallImage = { facts, filesystem: "ext4", directories: [modules], options: { sizeMiB: 160 } };
  const plain = await smallImage(image, control);
  const directory = await madeOf("grub-slot", [image, plain, kernel, initrd], async (aside) => {
    cpSync(plain, `${aside}/image`);
    const script = `cd /${modules}\nwrite ${kernel} vmlinuz\nwrite ${initrd} initramfs.img\n`;
    writeFileSync(`${aside}/script`, script);
    await runProgram("debugfs", ["-w", "-f", `${aside}/script`, `${aside}/image`]);
  });
  return `${directory}/image`;
}

test("a slot's own kernel and initrd, from its own ext4", async () => {
  const own = (slot: string, file: string) =>
    `for file in ($disk,${slot})/usr/lib/modules/*/${file}; do set ${file === "vmlinuz" ? "kernel" : "initrd"}=$file; done`;
  const files = (slot: string) => `${own(slot, "vmlinuz")}; ${own(slot, "initramfs.img")}`;
  const lines = {
    "set kernel=/vmlinuz": "",
    "set initrd=/initrd.img": "",
    'if [ "$1" = a ]; then set ok=$a_OK; set try=$a_TRY; fi': `if [ "$1" = a ]; then set ok=$a_OK; set try=$a_TRY; ${files("gpt4")}; fi`,
    'if [ "$1" = b ]; then set ok=$b_OK; set try=$b_TRY; fi': `if [ "$1" = b ]; then set ok=$b_OK; set try=$b_TRY; ${files("gpt5")}; fi`,
  };
  const block = "# GRUB Environment Block\nORDER=b a\n".padEnd(1024, "#");
  const loader = await grubPartitions("bios", {
    [`${GRUB_DIRECTORY}/grub.cfg`]: grubScript({ words: consoleWords, lines }),
    [`${GRUB_DIRECTORY}/grubenv`]: block,
  });
  const slots = {
    a: await withOwnKernel("v1"),
    b: await withOwnKernel("v2"),
  };
  const disk = await smallDisk({ slots, partitions: loader, size: "1G" });
  writeBootSector(disk);
  const told = await toEnd(await startMachine({ ...options, firmware: { kind: "bios" }, disks: [{ file: disk }] }));
  assert.is(told.root, "v2");
  assert.is(told.report.slot, "b");
  assert.ok(told.console.includes(`BOOT_IMAGE=(hd0,gpt5)/usr/lib/modules/${version}/vmlinuz console=ttyS0 slipway.slot=b`));
});

test.run();
