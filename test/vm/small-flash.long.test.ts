/**
 * U-Boot's environment in flash, through the kernel's own driver: mtdram, which erases as NOR does. Two copies in sectors that are
 * larger than they are.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { changeEnvironment, readEnvironment } from "../../boot/stores/uboot-env.ts";
import { smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine } from "./support/small-machine.ts";

const SIZE = 0x1000;
/** CONFIG_MTDRAM_ERASE_SIZE of Debian's kernel. */
const SECTOR = 0x20000;

const system = smallSystem().replace(
  "{ store: record, device: PARTLABEL=boot-record }",
  "{ store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: fw_env.config, dialect: rauc } }",
);
const config = [0, SECTOR].map((at) => `/dev/mtd0 0x${at.toString(16)} 0x1000 0x20000\n`).join("");

/** What U-Boot left: the first copy is the newer one. */
const variables = { BOOT_ORDER: "a b", BOOT_a_LEFT: "2", BOOT_b_LEFT: "3", bootcmd: "run distro_bootcmd" };
const [first] =
  changeEnvironment(readEnvironment([null, null], "boolean"), "boolean", SIZE, new Map(Object.entries(variables))).writes ?? [];
const environment = Buffer.from(first?.bytes ?? []).toString("base64");

test("commit writes the older copy through erase and write, marks the newer one, and leaves the rest of the sector", async () => {
  const machine = await smallMachine({
    system,
    beside: { "fw_env.config": config },
    initrd: { flavour: "generic", modules: ["virtio_pci", "virtio_blk", "erofs", "ext4", "overlay", "mtdram"] },
    slots: {
      a: {
        facts: "v1",
        slipway: true,
        files: { "/etc/environment.base64": environment },
        script: `base64 -d /etc/environment.base64 | dd of=/dev/mtd0 bs=4096 2>/dev/null
echo behind | dd of=/dev/mtd0 bs=1 seek=${SECTOR + SIZE} 2>/dev/null
slipway commit >/tmp/commit 2>&1; report commit cat /tmp/commit
report flash sh -c "dd if=/dev/mtd0 bs=4096 count=1 2>/dev/null | base64; echo; dd if=/dev/mtd0 bs=4096 skip=${SECTOR / SIZE} count=1 2>/dev/null | base64"
report behind dd if=/dev/mtd0 bs=1 skip=${SECTOR + SIZE} count=7
`,
      },
      b: { facts: "v2" },
    },
  });
  const told = await boot(machine);
  assert.is(told.report.loader?.store?.condition, "empty");
  assert.match(part(told, "commit"), "Slot a is committed");
  const copies = part(told, "flash")
    .split(/\n\n/)
    .map((text) => Uint8Array.from(Buffer.from(text.replaceAll("\n", ""), "base64")));
  assert.equal(
    copies.map((copy) => [copy.length, copy[4]]),
    [
      [SIZE, 0],
      [SIZE, 1],
    ],
  );
  const reading = readEnvironment(copies, "boolean");
  assert.is(reading.current, 1);
  const { slipway_nonce: nonce, ...rest } = Object.fromEntries(reading.variables ?? []);
  assert.equal(rest, { ...variables, BOOT_a_LEFT: "3" });
  assert.match(nonce ?? "", /^[0-9a-f]{16}$/);
  assert.match(part(told, "behind"), /^behind/);
  // fw_printenv takes flash of this kind for none, and the same bytes in files for an environment that counts: 1 is newer than 0.
  const directory = mkdtempSync(`${tmpdir()}/slipway-flash-`);
  try {
    const files = copies.map((copy, number) => {
      writeFileSync(`${directory}/${number}`, copy);
      return `${directory}/${number} 0x0 0x1000\n`;
    });
    writeFileSync(`${directory}/config`, files.join(""));
    const printed = spawnSync("fw_printenv", ["-c", `${directory}/config`], { encoding: "utf8" });
    assert.match(printed.stdout, `slipway_nonce=${nonce}\n`);
    assert.match(printed.stdout, "BOOT_a_LEFT=3\n");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();
