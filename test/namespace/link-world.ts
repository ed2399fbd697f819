/**
 * A machine with links whose other ends lie in network namespaces of their own, with servers in them. The test itself runs in the
 * machine's namespace: {@link inOwnNetwork} sees to that.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DhcpAnswers } from "../samples/dhcp-server.ts";
import "./own-mounts.ts";

const bun = process.execPath;
const samples = join(import.meta.dirname, "../samples");
const environment = { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin` };

/** Runs a program to its end and returns what it printed; throws with its errors when it fails. */
export function run(program: string, ...words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, words, { encoding: "utf8", env: environment });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${stderr}`);
  return stdout;
}

/** Starts the test anew in a network of its own, with an /etc of its own, and ends this process as that one ends. */
export function inOwnNetwork(file: string): void {
  const marker = "SLIPWAY_TEST_NETWORK";
  const own = readlinkSync("/proc/self/ns/net");
  const from = process.env[marker];
  if (from === undefined) {
    const words = ["--net", "--mount", "--propagation", "private", "--", bun, file];
    const { status } = spawnSync("unshare", words, { stdio: "inherit", env: { ...environment, [marker]: own } });
    process.exit(status ?? 1);
  }
  if (from === own) throw new Error("this test needs a network namespace of its own");
  const scratch = mkdtempSync(join(tmpdir(), "slipway-etc-"));
  run("mount", "-t", "tmpfs", "none", scratch);
  for (const name of ["upper", "work"]) mkdirSync(`${scratch}/${name}`);
  run("mount", "-t", "overlay", "-o", `lowerdir=/etc,upperdir=${scratch}/upper,workdir=${scratch}/work`, "none", "/etc");
  run("rm", "-f", "/etc/resolv.conf");
  // The kernel gives it its address when it is first up, and leaves it there.
  for (const state of ["up", "down"]) run("ip", "link", "set", "lo", state);
}

async function started(child: ChildProcess, sign: RegExp, name: string): Promise<void> {
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const look = (text: string): void => {
      output += text;
      if (sign.test(output)) resolve();
    };
    child.stdout?.setEncoding("utf8").on("data", look);
    child.stderr?.setEncoding("utf8").on("data", look);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${name} ended with ${code}: ${output}`)));
  });
}

/** One link of the machine, "up0", and what is at its other end. */
export class Peer {
  readonly #children: ChildProcess[] = [];
  #keeper: ChildProcess | null = null;

  constructor(
    /** Of the machine's end. */
    readonly link: string,
  ) {}

  /** Makes the link: the machine's end is down, the other one up with these addresses. */
  async connect(...addresses: string[]): Promise<this> {
    this.#keeper = spawn(
      "setpriv",
      ["--pdeathsig", "KILL", "--", "unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep 1000"],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: environment,
      },
    );
    await started(this.#keeper, /ready/, "unshare");
    run("ip", "link", "add", "name", this.link, "type", "veth", "peer", "name", "far");
    run("ip", "link", "set", "far", "netns", String(this.#keeper.pid));
    this.inside("sysctl", "-qw", "net.ipv6.conf.far.accept_dad=0", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
    this.inside("ip", "link", "set", "lo", "up");
    this.inside("ip", "link", "set", "far", "up");
    for (const address of addresses) this.give(address);
    return this;
  }

  /** An address more, on the link, or on `device`. */
  give(address: string, device = "far"): void {
    this.inside("ip", "address", "add", address, "dev", device, ...(address.includes(":") ? ["nodad"] : []));
  }

  inside(...words: string[]): string {
    return run("nsenter", "--net", "--target", String(this.#keeper?.pid), "--", ...words);
  }

  async #start(sign: RegExp, ...words: string[]): Promise<ChildProcess> {
    const all = ["--pdeathsig", "KILL", "--", "nsenter", "--net", "--target", String(this.#keeper?.pid), "--", ...words];
    const child = spawn("setpriv", all, { stdio: ["ignore", "pipe", "pipe"], env: environment });
    this.#children.push(child);
    await started(child, sign, words[0] ?? "");
    return child;
  }

  /** dnsmasq with these options on the link. */
  async dnsmasq(...options: string[]): Promise<ChildProcess> {
    const leases = mkdtempSync(join(tmpdir(), "slipway-dnsmasq-"));
    const usual = [
      "--no-daemon",
      "--conf-file=/dev/null",
      "--user=root",
      "--no-resolv",
      "--no-hosts",
      "--bind-interfaces",
      "--no-ping",
    ];
    const files = [`--dhcp-leasefile=${leases}/leases`, `--pid-file=${leases}/pid`, "--interface=far", "--log-facility=-"];
    return this.#start(/started, version/, "dnsmasq", ...usual, ...files, ...options);
  }

  /** A DHCP server of the tests' own. */
  async dhcp(how: DhcpAnswers): Promise<ChildProcess> {
    const [{ ifindex, address }] = JSON.parse(this.inside("ip", "-j", "link", "show", "far"));
    return this.#start(/ready/, bun, `${samples}/dhcp-server-process.ts`, String(ifindex), String(address), JSON.stringify(how));
  }

  /** Who connects to port 8080 hears `name`. */
  async greeter(name: string): Promise<void> {
    await this.#start(/ready/, bun, `${samples}/greeter.ts`, name);
  }

  /** Pulls the cable at the other end, or puts it in. */
  plug(plugged: boolean): void {
    this.inside("ip", "link", "set", "far", plugged ? "up" : "down");
  }

  /** Ends everything; the link goes with it. */
  async end(): Promise<void> {
    for (const child of [...this.#children, this.#keeper]) {
      if (child === null || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    spawnSync("ip", ["link", "delete", this.link], { env: environment });
  }
}

/** What a person sees of the machine's network: links, addresses, routes, name servers. */
export function seen(): string {
  const parts = ["link show", "address show", "route show", "-6 route show"].map((words) => run("ip", ...words.split(" ")));
  // A link that was up once has a queue for ever after.
  return parts.join("---\n").replaceAll(" qdisc noop ", " qdisc noqueue ");
}

/** What is said at `host`, port 8080; "" where nobody answers within `ms`. */
export async function greeting(host: string, ms = 2000): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(""), ms);
    const end = (text: string): void => {
      clearTimeout(timer);
      resolve(text);
    };
    const socket = {
      data: (from: Bun.Socket<undefined>, bytes: Uint8Array) => {
        end(Buffer.from(bytes).toString());
        from.terminate();
      },
      error: () => end(""),
      connectError: () => end(""),
    };
    Bun.connect({ hostname: host, port: 8080, socket }).then(
      (made) => made.unref(),
      () => end(""),
    );
  });
}
