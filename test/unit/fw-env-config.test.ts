import { test } from "uvu";
import * as assert from "uvu/assert";
import type { EnvironmentCopy } from "../../state-ops/control.ts";
import { type EnvironmentFilesystem, parseFwEnvConfig } from "../../state-ops/fw-env-config.ts";

const boot: EnvironmentFilesystem = { device: "PARTLABEL=boot", mountedAt: "/boot" };

function copies(text: string, filesystem: EnvironmentFilesystem | null = null): EnvironmentCopy[] {
  const { copies: found, problems } = parseFwEnvConfig(text, "fw_env.config", filesystem);
  assert.equal(problems, []);
  return found;
}

function refused(text: string, filesystem: EnvironmentFilesystem | null = null): string[] {
  const { copies: found, problems } = parseFwEnvConfig(text, "fw_env.config", filesystem);
  assert.equal(found, [], text);
  return problems.map(({ file, line, column, text: what }) => `${file}:${line}:${column}: ${what}`);
}

test("one line and two, comments, blanks, all columns", () => {
  const text = `# Device\tOffset\tSize

/dev/mtd1\t0x0000\t0x4000\t0x10000\t2
   /dev/mtd2  0x0000  4000  10000  0x2  # the other
`;
  const columns = { offset: 0, size: 0x4000, sectorSize: 0x10000, sectors: 2 };
  assert.equal(copies(text), [
    { device: "/dev/mtd1", ...columns },
    { device: "/dev/mtd2", ...columns },
  ]);
  const [one] = copies("/dev/mmcblk0 0x400000 0x20000");
  assert.equal(one, { device: "/dev/mmcblk0", offset: 0x400000, size: 0x20000, sectorSize: 0, sectors: 0 });
  assert.is(copies("/dev/mtd0 0 4000 1000 1 1\r\n").length, 1);
});

test("the offset in any base, and from the end; sizes are hex, with 0x and without", () => {
  const offsets: [string, number][] = [
    ["0x10", 16],
    ["020", 16],
    ["16", 16],
    ["+16", 16],
    ["-0x4000", -0x4000],
    ["0XAb", 0xab],
    ["-0", 0],
  ];
  for (const [text, offset] of offsets) {
    assert.equal(copies(`/dev/vda ${text} 2000`)[0], { device: "/dev/vda", offset, size: 0x2000, sectorSize: 0, sectors: 0 });
  }
});

test("files lie on the filesystem that was named, by their path there", () => {
  const lines = "/boot/uboot.env 0 0x4000\n/boot/env/uboot-redund.env 0x0 0x4000\n";
  assert.equal(copies(lines, boot), [
    { device: "PARTLABEL=boot", file: "/uboot.env", size: 0x4000 },
    { device: "PARTLABEL=boot", file: "/env/uboot-redund.env", size: 0x4000 },
  ]);
  assert.equal(copies("/uboot.env 0 0x4000", { device: "/dev/vda1", mountedAt: "/" }), [
    { device: "/dev/vda1", file: "/uboot.env", size: 0x4000 },
  ]);
});

test("what is wrong is told with its line and column", () => {
  const cases: [string, string, EnvironmentFilesystem?][] = [
    ["", "1:1: names no environment; write a line DEVICE OFFSET SIZE, two where it is redundant"],
    ["# nothing\n", "1:1: names no environment; write a line DEVICE OFFSET SIZE, two where it is redundant"],
    ["\n/dev/vda 0x0", '2:10: "/dev/vda" is followed by 1 numbers; write DEVICE OFFSET SIZE [SECTOR [SECTORS]]'],
    ["/dev/vda zero 1000", '1:10: "zero" is no offset; write bytes as 0x100000, 1048576, or -0x4000 from the device\'s end'],
    ["/dev/vda 09 1000", '1:10: "09" is no offset; write bytes as 0x100000, 1048576, or -0x4000 from the device\'s end'],
    ["/dev/vda 0 1g", '1:12: "1g" is no hex number'],
    ["/dev/vda 0 1000 x", '1:17: "x" is no hex number'],
    ["/dev/vda 0 1000 1000 -1", '1:22: "-1" is no hex number'],
    ["/dev/vda 0 1000 1000 1 2", '1:24: "2" is neither 0 nor 1 (whether fw_setenv leaves flash unlocked)'],
    ["/dev/vda 0 1000 1000 1 1 1", '1:26: "1": more fields than fw_env.config has'],
    ["/dev/vda 0 0", '1:12: "0" is 0 bytes (sizes are hex, with or without 0x); U-Boot\'s CONFIG_ENV_SIZE is 16 bytes to 16 MiB'],
    ["/dev/mtd0 -0x1000 1000", "1:1: flash has offsets from its start only"],
    ["/dev/mtdblock0 0 1000", '1:1: "/dev/mtdblock0": name the flash itself, /dev/mtdN, which can be erased'],
    ["/dev/ubi0:env 0 1000", '1:1: "/dev/ubi0:env" is a UBI volume, which slipway does not write; use another store'],
    ["/dev/../x 0 1000", '1:1: "/dev/../x" is no device path; write /dev/NAME without "." and ".."'],
    ["/boot/uboot.env 0 1000", '1:1: "/boot/uboot.env" is a file, and nothing says on which filesystem; set uboot-env\'s device'],
    ["/boot/uboot.env 4 1000", '1:17: "4" is no offset for a file, which begins at 0', boot],
    ["/efi/uboot.env 0 1000", '1:1: "/efi/uboot.env" is no file below /boot, where the running system has PARTLABEL=boot', boot],
    ["/boot/../x 0 1000", '1:1: "/boot/../x" is no file below /boot, where the running system has PARTLABEL=boot', boot],
    ["uboot.env 0 1000", '1:1: "uboot.env" is no file below /boot, where the running system has PARTLABEL=boot', boot],
    ["/dev/vda 0 1000\n/dev/vda 0x1000 2000", "2:1: copies of 4096 and 8192 bytes; both have one size"],
    ["/dev/vda 0 1000\n/dev/vda 0x800 1000", "2:1: both copies lie in one place; give each its own"],
    ["/dev/vda 0 1000\n/dev/mtd0 0 1000", "2:1: one copy in flash, and one that is not; U-Boot has both in one kind of place"],
    ["/boot/e 0 1000\n/boot/e 0 1000", "2:1: both copies lie in one place; give each its own", boot],
    ["/dev/vda 0 10\n/dev/vdb 0 10\n/dev/vdc 0 10", "3:1: names a third copy; U-Boot has one or two"],
    [
      "uboot:\n  size: 0x4000",
      "1:1: this is libubootenv's YAML form of fw_env.config; write the other: DEVICE OFFSET SIZE [SECTOR [SECTORS]]",
    ],
  ];
  for (const [text, message, filesystem] of cases) assert.equal(refused(text, filesystem ?? null), [`fw_env.config:${message}`]);
});

test("udev's links, which an initrd has not, become references", () => {
  const links: [string, string][] = [
    ["/dev/disk/by-partlabel/env", "PARTLABEL=env"],
    ["/dev/disk/by-partuuid/11111111-02", "PARTUUID=11111111-02"],
  ];
  for (const [link, device] of links) assert.is(copies(`${link} 0 200`)[0]?.device, device);
  assert.match(refused("/dev/disk/by-uuid/xyz 0 200")[0] ?? "", "a UUID is hex digits and dashes");
});

test("every wrong line is told", () => assert.is(refused("/dev/vda\n/dev/vdb x 1\n").length, 2));

test.run();
