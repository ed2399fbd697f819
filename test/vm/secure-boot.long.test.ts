/**
 * Secure Boot on, with keys of one's own: a signed systemd-boot 252 starts a signed unified kernel image for each slot, and nothing
 * else. OVMF's build with system management mode.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readPe } from "../../boot/portable-executable.ts";
import { namesOnEsp, putOnEsp } from "../../qemu/esp.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { trustLine } from "../../qemu/seal.ts";
import { secureBootKeys } from "../../qemu/secure-boot.ts";
import { loaderDisk, statusOf, toldLoader } from "./support/loader-scenarios.ts";
import { ordersFile, takeOrders } from "./support/orders.ts";
import { type SmallImage, smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { consoleWords, part, smallInitrd, toEnd } from "./support/small-machine.ts";
import { fileOf, unifiedImage, unifiedUnderTest } from "./support/systemd-boot-loader.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-secure-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

const loader = unifiedUnderTest(true);
const IMAGES = "EFI/Linux";
const keys = await secureBootKeys();
const { kernel, modules } = await guestKernel();
const base = smallSystem(["a", "b"], "ext4", "chooser: loader\n", await trustLine(["release"]));
const system = base.replace(/^boot-record: .*$/m, loader.bootRecord);
const made = { kernel, initrd: await smallInitrd(system), words: consoleWords };

/** What the running system asks UEFI. The kernel is locked down, and takes Debian's own module. */
const SEE = "insmod /usr/lib/efivarfs.ko; mount -t efivarfs efivarfs /sys/firmware/efi/efivars";

function image(facts: string, copies: Record<string, string>): SmallImage {
  const module = { "/usr/lib/efivarfs.ko": `${modules}/kernel/fs/efivarfs/efivarfs.ko` };
  return {
    facts,
    ending: "power-off",
    script: takeOrders,
    slipway: true,
    seal: { keys: ["release"] },
    copies: { ...module, ...copies },
  };
}

async function start(disk: string, orders: string, more: string[] = []) {
  const disks = [disk, ordersFile(orders), ...more].map((file, index) => ({ file, readOnly: index > 0 }));
  return loader.start(disk, { timeoutMs: 200_000, disks });
}

test("signed for each slot: an install brings the new slot's own kernel, initrd and command line, which its first boot has", async () => {
  const newUki = await unifiedImage({ ...made, words: `${consoleWords} marker=new` }, "b", keys.db);
  const control = await smallControl(system);
  const v3 = await smallImage(image("v3", { "/usr/lib/slipway/uki/b.efi": newUki }), control);
  const disk = await loader.disk({ ...made, system, slots: { a: image("v1", {}), b: image("v2", {}) } });
  const install = "report install sh -c 'slipway install /dev/vdc --slot b; echo exit $?'";
  const orders = [SEE, "report status slipway status --json", "report commit slipway commit", install].join("\n");
  const first = await toEnd(await start(disk, orders, [v3]));
  assert.is(first.root, "v1");
  assert.is(toldLoader(first).named, "a");
  const { summary, secureBoot } = statusOf(first).trust?.loader ?? {};
  assert.is(secureBoot, true);
  assert.is(summary, "Secure Boot is on, and covers kernel, initrd, control file and command line: a unified kernel image");
  assert.match(part(first, "install"), /exit 0$/);
  const names = await namesOnEsp(disk, IMAGES);
  assert.is(names.length, 2, names.join(" "));
  assert.match(names.join(" "), /slipway-2-a\.efi slipway-3-b-[0-9a-f]{12}\+3\.efi/);

  const again = "report install sh -c 'slipway activate a; echo exit $?'";
  const told = await toEnd(
    await start(disk, [SEE, "report line cat /proc/cmdline", "report commit slipway commit", again].join("\n")),
  );
  assert.is(told.root, "v3");
  assert.match(part(told, "line"), /marker=new slipway\.slot=b/);
  assert.match(
    part(told, "install"),
    /brings no \/usr\/lib\/slipway\/uki\/a\.efi: the slot is started with the unified kernel image that it has[\s\S]*exit 0$/,
  );
  assert.match((await namesOnEsp(disk, IMAGES)).join(" "), /^slipway-3-b-[0-9a-f]{12}\.efi slipway-4-a\.efi$/);
});

/** The signed image of slot a with one byte of its initrd changed. */
async function flipped(): Promise<string> {
  const bytes = readFileSync(await unifiedImage(made, "a", keys.db));
  const initrd = readPe("the image", bytes).sections.find(({ name }) => name === ".initrd");
  assert.ok(initrd);
  const at = initrd.fileOffset + 20_000_000;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(`${scratch}/flipped.efi`, bytes);
  return `${scratch}/flipped.efi`;
}

const strangers: Record<string, () => Promise<string>> = {
  "an unsigned image": () => unifiedImage(made, "a", null),
  "one with a byte of the initrd changed": flipped,
  "one that somebody else signed": () => unifiedImage(made, "a", keys.foreign),
};

for (const [what, spoil] of Object.entries(strangers)) {
  test(`${what} is not started, and the other slot is, once its boots are counted down`, async () => {
    const disk = await loaderDisk(loader);
    await putOnEsp(disk, { [await fileOf(disk, IMAGES, "a")]: { file: await spoil() } });
    const machine = await start(disk, "report nothing true\nsay 'small root ends: power-off'; settle; poweroff -f");
    // OVMF tries twice, and then waits for somebody: firmware is what it is.
    await machine.expect(/Error loading \\EFI\\Linux\\slipway-2-a\+2-1\.efi: Access Denied/);
    await machine.expect(/Error loading \\EFI\\Linux\\slipway-2-a\+1-2\.efi: Access Denied/);
    await machine.expect("No bootable option or device was found");
    await machine.reset();
    const told = await toEnd(machine);
    assert.is(told.root, "v2");
    assert.is(toldLoader(told).named, "b");
    assert.not.match(told.console, /small root up: v1/);
    const [, b] = await namesOnEsp(disk, IMAGES).then((names) => names.sort());
    assert.match((await namesOnEsp(disk, IMAGES)).join(" "), /slipway-2-a\+0-3\.efi/, b);
  });
}

test.run();
