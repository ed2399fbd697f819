/**
 * A Debian with rauc 1.8 and swupdate in it, disks of machines whose bootloader has a store of its own, and bundles that the
 * host's rauc made.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { type DemoImage, type DemoImageOptions, demoImage } from "../../../qemu/demo-machine.ts";
import { makeEsp } from "../../../qemu/esp.ts";
import type { GuestShell } from "../../../qemu/guest-shell.ts";
import { makeImage } from "../../../qemu/images.ts";
import { initrdFor, keptOf, madeOf, slipway } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import { trustLine } from "../../../qemu/seal.ts";
import { writeFiles } from "../../../qemu/tree.ts";
import { type Debian, type DebianOptions, initrdControl, reboot, startDebian, statusOf } from "./debian.ts";

/** Where the machine's bootloader keeps what it knows of the slots. `record`: nowhere, slipway is all there is. */
export type GroundStore = "record" | "grubenv" | "uboot-env";

const LOADERS = `${import.meta.dirname}/../../../boot/loaders/rauc`;
const SWUPDATE = `${import.meta.dirname}/../../../boot/loaders/swupdate`;
/** What boot/loaders/rauc/ has for each. */
const CONFIGURATIONS = { record: "slipway.conf", grubenv: "grub.conf", "uboot-env": "u-boot.conf" } as const;

/** Two copies on a partition of their own, as they are written on eMMC. */
const fwEnvConfig = "/dev/vda1 0x0 0x4000\n/dev/vda1 0x4000 0x4000\n";

const storeLines = {
  record: "{ store: record, device: PARTLABEL=boot-record }",
  grubenv:
    "{ store: grubenv, device: PARTLABEL=boot-record, grubenv: { device: PARTLABEL=esp, file: grub/grubenv, dialect: rauc } }",
  "uboot-env": "{ store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: fw_env.config, dialect: rauc } }",
} as const;

/** @param trust a line of system.yaml */
function systemOf(store: GroundStore, trust = "trust: unsigned\n"): string {
  return `system: acme-gateway
slots:
  a: { device: PARTLABEL=root-a, bootname: A }
  b: { device: PARTLABEL=root-b, bootname: B }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: ${storeLines[store]}
${trust}`;
}

/** A CA, and a certificate of its that signs bundles: what RAUC's and SWUpdate's own documentation makes. Never part of the repository. */
async function bundleKeys(): Promise<{ ca: string; certificate: string; key: string }> {
  const directory = await keptOf("bundle-keys", "openssl", async (aside) => {
    const openssl = (words: string[]) => runProgram("openssl", words, { directory: aside });
    const made = ["-newkey", "rsa:2048", "-nodes", "-days", "3650"];
    await openssl(["req", "-x509", ...made, "-keyout", "ca.key.pem", "-out", "ca.pem", "-subj", "/O=acme/CN=acme CA"]);
    await openssl(["req", ...made.slice(0, 3), "-keyout", "key.pem", "-out", "request.pem", "-subj", "/O=acme/CN=acme release"]);
    writeFiles(aside, { "/extensions": "keyUsage=digitalSignature\nextendedKeyUsage=emailProtection,codeSigning\n" });
    const from = ["-CA", "ca.pem", "-CAkey", "ca.key.pem", "-CAcreateserial", "-days", "3650", "-extfile", "extensions"];
    await openssl(["x509", "-req", "-in", "request.pem", "-out", "cert.pem", ...from]);
  });
  return { ca: `${directory}/ca.pem`, certificate: `${directory}/cert.pem`, key: `${directory}/key.pem` };
}

/** The version of the image, and whom it is signed by. */
export interface GroundImage {
  version: string;
  /** Names of keys; none: it is sealed and unsigned. Null: a filesystem alone. */
  keys: string[] | null;
  files?: DemoImageOptions["files"];
}

/** A Debian with both updaters, configured for every store; {@link startGround} has RAUC take the configuration of one. */
export async function groundImage({ version, keys, files }: GroundImage): Promise<DemoImage> {
  const configurations = Object.values(CONFIGURATIONS).map((name) => [
    `/etc/rauc/${name}`,
    readFileSync(`${LOADERS}/${name}`, "utf8"),
  ]);
  const { ca } = await bundleKeys();
  return demoImage({
    version,
    packages: ["rauc", "rauc-service", "libubootenv-tool", "grub-common", "swupdate"],
    library: ["rauc", "journald"],
    directories: ["/boot", "/mnt", "/var/log/journal", "/var/lib/rauc"],
    system: systemOf("record"),
    files: {
      ...Object.fromEntries(configurations),
      "/etc/rauc/ca.cert.pem": readFileSync(ca, "utf8"),
      "/etc/fw_env.config": fwEnvConfig,
      "/etc/swupdate/ca.cert.pem": readFileSync(ca, "utf8"),
      "/usr/bin/install-other": { content: readFileSync(`${SWUPDATE}/install-other`, "utf8"), mode: 0o755 },
      "/etc/hwrevision": "gateway 1.0\n",
      // Both run when they are called.
      "/etc/systemd/system/swupdate.service": "",
      "/etc/systemd/system/swupdate.socket": "",
      "/etc/systemd/system/swupdate-progress.service": "",
      ...files,
    },
    ...(keys === null ? {} : { seal: { keys } }),
  });
}

/**
 * The bootloader's own partitions as words of slipway disk build. Nothing in them is about slots yet: an environment block that
 * grub-editenv made, U-Boot's environment with a variable of the board's.
 */
async function loaderPartitions(store: GroundStore, directory: string): Promise<string[]> {
  if (store === "record") return [];
  const file = `${directory}/partition`;
  if (store === "uboot-env") {
    writeFiles(directory, { "/variables": "board=gateway\n" });
    // -r: with the flag by which U-Boot tells the newer of two copies; the other copy is not there yet.
    await runProgram("mkenvimage", ["-r", "-s", "0x4000", "-o", `${directory}/copy`, `${directory}/variables`]);
    const partition = new Uint8Array(1024 * 1024);
    partition.set(readFileSync(`${directory}/copy`));
    writeFileSync(file, partition);
    return ["--partition", `uboot-env:linux=${file}`];
  }
  await runProgram("grub-editenv", [`${directory}/grubenv`, "create"]);
  await makeEsp(file, { "grub/grubenv": { file: `${directory}/grubenv` } }, 64);
  return ["--partition", `esp:esp=${file}`];
}

export interface Ground {
  initrd: string;
  /** Boot from a copy of it. */
  disk: string;
}

/** The initrd of a machine with that store, which trusts what was signed with `keys`; none: `trust: unsigned`. */
export async function groundInitrd(store: GroundStore, keys: string[] = []): Promise<string> {
  const system = systemOf(store, keys.length === 0 ? undefined : await trustLine(keys));
  return initrdFor(await initrdControl(system, { "fw_env.config": fwEnvConfig }));
}

/**
 * A machine with that store and `image` in slot a, and its initrd (see {@link groundInitrd}). The kernel is started by itself: the
 * store's loader does not run, and slipway chooses.
 */
export async function ground(store: GroundStore, image: string, keys: string[] = []): Promise<Ground> {
  const system = systemOf("record");
  const directory = await madeOf("ground-disk", [store, image, system], async (aside) => {
    writeFiles(aside, { "/system.yaml": system });
    const partitions = await loaderPartitions(store, aside);
    const words = ["--slot", `a=${image}`, "--size", "1536M", "-o", `${aside}/disk`];
    await slipway(["disk", "build", "--system", `${aside}/system.yaml`, ...partitions, ...words]);
  });
  return { initrd: await groundInitrd(store, keys), disk: `${directory}/disk` };
}

/** Boots a copy of its disk with `delivered`, an image of {@link delivery}, as /dev/vdb; RAUC is configured for `store`. */
export async function startGround(store: GroundStore, { initrd, disk }: Ground, delivered: string): Promise<Debian> {
  const debian = await bootGround(store, { initrd, copyOf: disk, images: [delivered] });
  await debian.shell.must(`ln -sf ${CONFIGURATIONS[store]} /etc/rauc/system.conf && sync`);
  return debian;
}

/** Boots a machine of that store as it is. */
export async function bootGround(store: GroundStore, options: DebianOptions): Promise<Debian> {
  const debian = await startDebian({ memoryMiB: 768, ...options });
  await debian.shell.ready();
  await mountGround(store, debian.shell);
  return debian;
}

/** Reboots it in an orderly way. */
export async function rebootGround(store: GroundStore, debian: Debian): Promise<void> {
  await reboot(debian);
  await mountGround(store, debian.shell);
}

/** What was delivered is at /mnt, and GRUB's filesystem at /boot, as fstab would have it. */
async function mountGround(store: GroundStore, shell: GuestShell): Promise<void> {
  await shell.must("mount -t squashfs -o ro /dev/vdb /mnt");
  // systemd's generator may have it mounted there already, as an ESP of the disk that it booted from.
  if (store === "grubenv") await shell.must("test -e /boot/grub/grubenv || mount -t vfat /dev/disk/by-partlabel/esp /boot");
}

/** A bundle of RAUC's with `image`. */
export async function raucBundle(image: string, version: string, format: "plain" | "verity"): Promise<string> {
  const { ca, certificate, key } = await bundleKeys();
  const manifest = `[update]
compatible=acme-gateway
version=${version}

[bundle]
format=${format}

[image.rootfs]
filename=rootfs.img
`;
  const directory = await keptOf("rauc-bundle", [image, manifest, certificate], async (aside) => {
    mkdirSync(`${aside}/content`);
    writeFiles(`${aside}/content`, { "/manifest.raucm": manifest });
    cpSync(image, `${aside}/content/rootfs.img`);
    const keys = [
      `--cert=${certificate}`,
      `--key=${key}`,
      `--keyring=${ca}`,
      "--mksquashfs-args=-comp zstd -Xcompression-level 1",
    ];
    await runProgram("rauc", [...keys, "bundle", `${aside}/content`, `${aside}/bundle.raucb`]);
    rmSync(`${aside}/content`, { recursive: true });
  });
  return `${directory}/bundle.raucb`;
}

/** An image with those files, by the names that they have in it. */
export async function delivery(files: Record<string, string>): Promise<string> {
  const directory = await keptOf("delivery", ["squashfs", files], async (aside) => {
    mkdirSync(`${aside}/tree`);
    for (const [name, file] of Object.entries(files)) cpSync(file, `${aside}/tree/${name}`);
    // Of RAUC 1.8 erofs is not known: it asks which filesystems cannot be changed by others meanwhile.
    await makeImage(`${aside}/tree`, `${aside}/image`, "squashfs");
    rmSync(`${aside}/tree`, { recursive: true });
  });
  return `${directory}/image`;
}

/** What rauc status says, in its own words. */
export interface RaucStatus {
  booted: string;
  /** The bootname of the slot that it takes for the next one; null where it finds none. */
  primary: string | null;
  /** "good" or "bad", by bootname. */
  states: Record<string, string>;
  /** "booted", "inactive" or "active", by bootname. */
  activity: Record<string, string>;
}

interface RaucStatusJson {
  booted: string;
  boot_primary: string | null;
  slots: Record<string, { bootname: string; state: string; boot_status: string }>[];
}

/** What `rauc status` says in the guest. */
export async function raucStatus(shell: GuestShell): Promise<RaucStatus> {
  const output = await shell.must("rauc status --output-format=json 2>/run/rauc-said || { cat /run/rauc-said; exit 1; }");
  const json: RaucStatusJson = JSON.parse(output);
  const slots = json.slots.flatMap((slot) => Object.entries(slot));
  const byBootname = (value: (slot: { state: string; boot_status: string }) => string) =>
    Object.fromEntries(slots.map(([, slot]) => [slot.bootname, value(slot)]));
  return {
    booted: json.booted,
    primary: slots.find(([name]) => name === json.boot_primary)?.[1].bootname ?? null,
    states: byBootname((slot) => slot.boot_status),
    activity: byBootname((slot) => slot.state),
  };
}

/** Asserts what rauc status says in one line: "A booted, A first, A good, B bad". */
export async function raucSays(shell: GuestShell, line: string): Promise<void> {
  const { booted, primary, states } = await raucStatus(shell);
  const slots = Object.entries(states)
    .sort()
    .map(([name, state]) => `${name} ${state}`);
  assert.is(`${booted} booted, ${primary ?? "none"} first, ${slots.join(", ")}`, line);
}

/** Asserts what slipway status says in one line: "next b; a committed 10, b trial 3". */
export async function slipwaySays(shell: GuestShell, line: string): Promise<void> {
  const status = await statusOf(shell);
  const slots = status.slots.map(({ name, state, tries }) => `${name} ${state} ${tries}`);
  assert.is(`next ${status.next.slot}; ${slots.join(", ")}`, line);
}

/** A .swu of SWUpdate's with `image`: description, its signature, the image. */
export async function swuFile(image: string, version: string): Promise<string> {
  const { certificate, key } = await bundleKeys();
  const template = readFileSync(`${SWUPDATE}/sw-description`, "utf8");
  const sum = createHash("sha256").update(readFileSync(image)).digest("hex");
  const description = template.replaceAll("VERSION", version).replaceAll('"SHA256"', `"${sum}"`);
  const directory = await keptOf("swu", [image, description, certificate], async (aside) => {
    writeFiles(aside, { "/sw-description": description, "/list": "sw-description\nsw-description.sig\nrootfs.img\n" });
    cpSync(image, `${aside}/rootfs.img`);
    const signed = ["-in", "sw-description", "-out", "sw-description.sig", "-outform", "DER", "-nosmimecap", "-binary"];
    await runProgram("openssl", ["cms", "-sign", ...signed, "-signer", certificate, "-inkey", key], { directory: aside });
    await runProgram("sh", ["-c", "cpio --quiet -o -H crc <list >update.swu"], { directory: aside });
    rmSync(`${aside}/rootfs.img`);
  });
  return `${directory}/update.swu`;
}
