/** Debian's rauc on the host itself: its service on a bus of its own, slots on loop devices, a boot loader that does nothing. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { runProgram } from "../../qemu/program.ts";
import type { UpdateWorld } from "./update-world.ts";

const compatible = "slipway-bench";

function systemConf({ directory, running, target }: UpdateWorld): string {
  return `[system]
compatible=${compatible}
bootloader=noop
mountprefix=${directory}/rauc/mnt
data-directory=${directory}/rauc/data
max-bundle-download-size=${4 * 1024 ** 3}

[keyring]
path=${directory}/rauc/cert.pem

[slot.rootfs.0]
device=${running.device}
type=raw
bootname=a

[slot.rootfs.1]
device=${target.device}
type=raw
bootname=b
`;
}

const manifest = `[update]
compatible=${compatible}
version=newer

[bundle]
format=plain

[image.rootfs]
filename=newer.img
`;

export class HostRauc {
  #conf = "";
  #address = "";
  readonly #children: ChildProcess[] = [];

  /** Makes the bundle below the server's directory, and the key that it is signed with. */
  async bundle(world: UpdateWorld): Promise<void> {
    const place = `${world.directory}/rauc`;
    for (const name of ["content", "mnt", "data"]) mkdirSync(`${place}/${name}`, { recursive: true });
    const subject = ["-subj", "/CN=slipway-bench", "-days", "3650"];
    const pair = ["-keyout", `${place}/key.pem`, "-out", `${place}/cert.pem`];
    await runProgram("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...pair, ...subject]);
    writeFileSync(`${place}/system.conf`, systemConf(world));
    writeFileSync(`${place}/content/manifest.raucm`, manifest);
    cpSync(world.pair.newer, `${place}/content/newer.img`);
    mkdirSync(`${world.www}/rauc`);
    await this.#sign(world, "bundle", `${place}/content`, `${world.www}/rauc/bundle.raucb`);
    rmSync(`${place}/content`, { recursive: true });
  }

  /** Makes a casync bundle of the bundle, and its store of chunks. */
  async convert(world: UpdateWorld): Promise<void> {
    const www = `${world.www}/rauc`;
    await this.#sign(world, "convert", `${www}/bundle.raucb`, `${www}/casync.raucb`);
  }

  async #sign({ directory }: UpdateWorld, verb: string, input: string, output: string): Promise<void> {
    const place = `${directory}/rauc`;
    const keys = [`--cert=${place}/cert.pem`, `--key=${place}/key.pem`, `--keyring=${place}/cert.pem`];
    await runProgram("rauc", [`--conf=${place}/system.conf`, ...keys, verb, input, output]);
  }

  /** Starts bus and service, where they do not run yet. */
  async start({ directory }: UpdateWorld): Promise<void> {
    if (this.#address !== "") return;
    this.#conf = `${directory}/rauc/system.conf`;
    const bus = this.#spawn("dbus-daemon", ["--session", "--nofork", "--nopidfile", "--print-address=1"], {});
    this.#address = await new Promise<string>((resolve, reject) => {
      bus.stdout?.once("data", (line: Buffer) => resolve(line.toString().trim()));
      bus.once("close", () => reject(new Error("dbus-daemon ended before it told its address")));
    });
    this.#spawn("rauc", [`--conf=${this.#conf}`, "--override-boot-slot=a", "service"], this.#environment());
    for (const end = Date.now() + 10_000; !(await this.#serviceIsThere()); ) {
      if (Date.now() > end) throw new Error("rauc's service did not come to its bus within 10 s");
      await Bun.sleep(50);
    }
  }

  async install(url: string): Promise<void> {
    await runProgram("rauc", [`--conf=${this.#conf}`, "install", url], { environment: this.#environment() });
  }

  async stop(): Promise<void> {
    this.#address = "";
    const ended = this.#children.splice(0).map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const end = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGTERM");
      await end;
    });
    await Promise.all(ended);
  }

  /** rauc takes the session bus where it was started by one. */
  #environment(): Record<string, string> {
    return { DBUS_SESSION_BUS_ADDRESS: this.#address, DBUS_STARTER_BUS_TYPE: "session" };
  }

  async #serviceIsThere(): Promise<boolean> {
    const bus = ["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"];
    const question = [...bus, "org.freedesktop.DBus.NameHasOwner", "string:de.pengutronix.rauc"];
    return (await runProgram("dbus-send", question, { environment: this.#environment() })).includes("boolean true");
  }

  #spawn(program: string, words: string[], environment: Record<string, string>): ChildProcess {
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...words], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#children.push(child);
    return child;
  }
}
