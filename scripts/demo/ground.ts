/** What the demo runs on: a key, three signed images of a Debian behind nginx, and a machine that trusts the key. */
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { consoleWord } from "../../qemu/architecture.ts";
import { demoTar } from "../../qemu/demo-machine.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../qemu/machine.ts";
import { type Nginx, startNginx } from "../../qemu/nginx.ts";
import { cache } from "../../qemu/places.ts";
import { foreignWords, slipway } from "../../qemu/product.ts";
import { type TreeFiles, writeFiles } from "../../qemu/tree.ts";

const systemWith = (source: string) => `system: slipway-demo
slots:
  a: { device: PARTLABEL=root-a }
  b: { device: PARTLABEL=root-b }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
tries: { trial: 2, committed: 10 }
watchdog: { timeout: 20, after: systemd }
trust: { keys: [release.pub.pem] }
recovery: { sources: ["${source}"] }
`;

/** Drivers of this machine, the filesystems of slots and data, and a watchdog in software. */
const modules = ["virtio_pci", "virtio_blk", "virtio_net", "erofs", "ext4", "overlay", "softdog"];

/** An address in QEMU's own network, in which the host is 10.0.2.2. */
export const demoNetwork: TreeFiles = {
  "/usr/lib/systemd/network/demo.network": `[Match]
Driver=virtio_net
[Network]
Address=10.0.2.15/24
LinkLocalAddressing=no
IPv6AcceptRA=no
`,
  "/usr/lib/systemd/system/multi-user.target.d/demo-network.conf": "[Unit]\nWants=systemd-networkd.service\n",
};

/** A health check that ruins the state it finds and then hangs the machine for good: a crashed systemd freezes. */
const hanging: TreeFiles = {
  "/usr/lib/systemd/system/demo-health.service": `[Unit]
Description=A health check that hangs the machine
Before=boot-complete.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo ruined by v3 > /var/lib/demo/notes; sync; echo "demo: v3 hangs" > /dev/console; kill -SEGV 1; sleep infinity'
`,
  "/usr/lib/systemd/system/boot-complete.target.d/demo-health.conf": "[Unit]\nRequires=demo-health.service\n",
};

const filesOf = { v1: demoNetwork, v2: demoNetwork, v3: { ...demoNetwork, ...hanging } };

export type Version = keyof typeof filesOf;

/** Key, images, initrd, disk and server of one run. */
export class DemoGround {
  readonly #directory: string;
  #server: Nginx | null = null;

  constructor() {
    mkdirSync(cache, { recursive: true });
    this.#directory = mkdtempSync(`${cache}/demo-`);
    process.on("exit", () => rmSync(this.#directory, { recursive: true, force: true }));
  }

  /** Makes everything, and starts the machine with v1 in slot a. Trees and kernel are kept for the next run; all that the key is in is not. */
  async start(): Promise<Machine> {
    const directory = this.#directory;
    for (const name of ["www", "empty"]) mkdirSync(`${directory}/${name}`);
    await slipway(["keys", "new", `${directory}/release`]);
    this.#server = await startNginx({ root: `${directory}/www` });
    writeFiles(directory, { "/system.yaml": systemWith(this.url("v2")) });
    for (const version of ["v1", "v2", "v3"] as const) await this.#makeImage(version);
    const definition = ["--system", `${directory}/system.yaml`];
    const slots = ["--slot", `a=${this.#image("v1")}`, "--size", "1G"];
    await slipway(["disk", "build", ...definition, ...slots, "-o", `${directory}/disk`]);
    await slipway(["state", "compile", ...definition, "--root", `${directory}/empty`, "-o", `${directory}/control.json`]);
    const guest = await guestKernel();
    const drivers = ["--modules", guest.modules, ...modules.flatMap((name) => ["--module", name])];
    const initrd = ["--control", `${directory}/control.json`, ...drivers, "--level", "3", ...(await foreignWords())];
    await slipway(["initrd", "build", ...initrd, "-o", `${directory}/initrd`]);
    return startMachine({
      name: "demo",
      kernel: guest.kernel,
      initrd: `${directory}/initrd`,
      append: `${consoleWord()} quiet`,
      memoryMiB: 512,
      net: [{}],
      disks: [{ file: `${directory}/disk` }],
      timeoutMs: 900_000,
    });
  }

  async #makeImage(version: Version): Promise<void> {
    const tar = await demoTar({ version, files: filesOf[version] });
    const seal = ["--system", "slipway-demo", "--version", version, "--key", `${this.#directory}/release.pem`];
    const definition = ["--definition", `${this.#directory}/system.yaml`];
    await slipway(["image", "build", "--tar", tar, ...definition, ...seal, "-o", this.#image(version)]);
  }

  #image(version: Version): string {
    return `${this.#directory}/www/${version}.img`;
  }

  /** Where the guest finds the image of `version`. */
  url(version: Version): string {
    return `http://10.0.2.2:${this.#server?.port}/${version}.img`;
  }

  /** Bytes of that image. */
  size(version: Version): number {
    return statSync(this.#image(version)).size;
  }

  /** Bytes that the server has sent until now. */
  sent(): number {
    return this.#server?.requests().reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }
}
