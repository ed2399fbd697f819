/** `npm run demo`: two Debian slots live through an update, damage, a bad update and the way back, in a virtual machine. */
import { parseArgs } from "node:util";
import { checkGuestArchitecture } from "../qemu/architecture.ts";
import { GuestShell } from "../qemu/guest-shell.ts";
import { DemoGround, type Version } from "./demo/ground.ts";
import { check, Teller } from "./demo/teller.ts";

const usage = `npm run demo [-- [--arch ARCHITECTURE] [--json]]
  --arch   x86-64 or arm64: what the machine and its Debian are; default this machine's
  --json   one JSON object a line on standard output: step, ok, seconds (npm run -s demo -- --json)
Exit codes: 0 every step was seen to be true, 1 one was not, 2 wrong usage.`;

interface StatusFacts {
  running: { slot: string; uncommitted: boolean };
  slots: { name: string; state: string; tries: number }[];
  rollback: { from: string } | null;
}

/** What `slipway status --json` says of the slots. */
async function status(shell: GuestShell): Promise<StatusFacts> {
  const facts: StatusFacts = JSON.parse(await shell.must("slipway status --json"));
  return facts;
}

/** That `slot` runs, started on trial or committed, behind dm-verity under a root hash that the demo's key signed. */
async function runsProven(shell: GuestShell, slot: string, trial: boolean): Promise<void> {
  const report: { slot: string; trial: boolean; proof: string; verity: object | null } = JSON.parse(
    await shell.must("cat /run/slipway/boot.json"),
  );
  check(report.slot === slot, `slot ${report.slot} runs, not ${slot}`);
  check(report.trial === trial, trial ? "it was not started on trial" : "it was started on trial");
  check(report.proof === "signed" && report.verity !== null, `its image's proof is "${report.proof}"`);
}

/** Waits until the commit's unit has done its work. */
async function committed(shell: GuestShell, slot: string): Promise<void> {
  const wait = "systemctl is-system-running --wait >/dev/null; systemctl is-active --quiet slipway-commit.service";
  await shell.must(wait, 300_000); // it reads the whole slot
  const facts = await status(shell);
  check(facts.running.slot === slot, `slot ${facts.running.slot} runs, not ${slot}`);
  check(!facts.running.uncommitted, `slot ${slot} is still on trial`);
}

/** The parts of what `slipway install --json` and `slipway repair --json` say that the demo looks at, bytes. */
interface ConvergeResult {
  changed: boolean;
  bytes: { sourceBytes: number; donorBytes: Record<string, number>; targetBytes: number; thereBytes: number } | null;
  networkBytes: number;
}

/** What a verb says at last, without the lines on its progress. */
async function resultOf(shell: GuestShell, command: string): Promise<ConvergeResult> {
  const said = "/run/demo-result";
  const last = await shell.must(`${command} --json >${said} && tail -n 1 ${said}`, 300_000);
  const result: ConvergeResult = JSON.parse(last);
  return result;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Installs `version` from the server into the slot that does not run, and says what came over the network. */
async function install(ground: DemoGround, shell: GuestShell, version: Version): Promise<string> {
  const before = ground.sent();
  const { changed, networkBytes } = await resultOf(shell, `slipway install ${ground.url(version)}`);
  check(changed, "nothing was installed");
  const [sent, size] = [ground.sent() - before, ground.size(version)];
  check(sent === networkBytes, `it says that ${networkBytes} bytes were fetched, the server sent ${sent}`);
  check(sent < size / 10, `${megabytes(sent)} of ${megabytes(size)} were fetched, though most is in the other slot`);
  return `${megabytes(sent)} of ${megabytes(size)} fetched`;
}

/** A block in the middle of slot a's image, and its content on the medium. */
const [device, block] = ["/dev/disk/by-partlabel/root-a", 20_000];
const content = `dd if=${device} bs=4096 skip=${block} count=1 iflag=direct status=none | sha256sum`;

/** Turns the bits of one byte of it around. */
async function flip(shell: GuestShell): Promise<void> {
  const offset = block * 4096 + 100;
  const old = Number(await shell.must(`dd if=${device} bs=1 skip=${offset} count=1 status=none | od -An -tu1`));
  const turned = (old ^ 0xff).toString(8).padStart(3, "0");
  await shell.must(`printf '\\${turned}' | dd of=${device} bs=1 seek=${offset} conv=notrunc,fsync status=none`);
}

/** Flips a byte of v1 in slot a, and has it repaired: exactly one block is found, and gets its content back. */
async function repairFlipped(ground: DemoGround, shell: GuestShell): Promise<string> {
  const whole = await shell.must(content);
  await flip(shell);
  check((await shell.must(content)) !== whole, "the block is as it was");
  const { changed, bytes } = await resultOf(shell, `slipway repair a ${ground.url("v1")}`);
  check(changed, "nothing was found to repair");
  const donated = Object.values(bytes?.donorBytes ?? {}).reduce((sum, count) => sum + count, 0);
  const repaired = (bytes?.sourceBytes ?? 0) + donated + (bytes?.targetBytes ?? 0);
  check(repaired === 4096, `${repaired} bytes were repaired, one block has 4096`);
  check((await shell.must(content)) === whole, "the block is not what it was");
  return donated > 0 ? "taken from slot b" : "fetched";
}

/** Writes random bytes over both slots, also over the one whose system runs this, and resets the machine. */
async function destroy(shell: GuestShell): Promise<void> {
  const slots = ["a", "b"].map((slot) => `/dev/disk/by-partlabel/root-${slot}`);
  await shell.must("sync; mkdir -p /run/demo && cp /usr/bin/dd /run/demo/ && ldd /usr/bin/dd >/dev/null");
  const spoil = slots.map((slot) => `blockdev --setrw ${slot}; /run/demo/dd if=/dev/urandom of=${slot} bs=1M conv=fsync`);
  shell.type(`(${spoil.join("; ")}; echo b >/proc/sysrq-trigger) >/dev/null 2>&1`);
}

/** What boot.json says of a recovery, as far as the demo looks at it. */
interface RecoveryFacts {
  recovery: { rung: string; steps: { networkBytes: number; startMs: number; lengthMs: number }[] } | null;
}

/** That the machine put an image into a slot by itself; says what that took. */
async function recoveredBy(shell: GuestShell): Promise<string> {
  const { recovery }: RecoveryFacts = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
  if (recovery === null) throw new Error("boot.json tells of no recovery");
  const bytes = recovery.steps.reduce((sum, { networkBytes }) => sum + networkBytes, 0);
  const seconds = recovery.steps.reduce((sum, { lengthMs }) => sum + lengthMs, 0) / 1000;
  return `${recovery.rung}: ${megabytes(bytes)} fetched, ${seconds.toFixed(1)} s`;
}

async function tell(teller: Teller): Promise<void> {
  const ground = new DemoGround();
  const what = "a key, Debian v1, v2 and v3 signed with it, an initrd that trusts it, a disk with v1 in slot a";
  const machine = await teller.step("build", what, () => ground.start());
  const shell = new GuestShell(machine);
  try {
    await teller.step("first-boot", "v1's signature is right: it boots from slot a, on trial", async () => {
      await shell.ready();
      await runsProven(shell, "a", true);
    });
    await teller.step("commit-a", "v1 is committed, and writes some state", async () => {
      await committed(shell, "a");
      await shell.must("mkdir -p /var/lib/demo && echo written by v1 > /var/lib/demo/notes && sync");
    });
    await teller.step("install-b", "slipway install brings v2 from nginx into slot b", async () => {
      const note = await install(ground, shell, "v2");
      shell.type("systemctl reboot");
      return note;
    });
    await teller.step("trial-b", "v2 boots from slot b, on trial, with a clone of v1's state", async () => {
      await shell.ready();
      await runsProven(shell, "b", true);
      check((await shell.must("cat /var/lib/demo/notes")) === "written by v1", "the state of v1 is not there");
    });
    await teller.step("commit-b", "v2 is committed, and writes more state", async () => {
      await committed(shell, "b");
      await shell.must("echo written by v2 >> /var/lib/demo/notes && sync");
    });
    await teller.step("repair-a", "a byte of v1 in slot a is flipped: slipway repair finds the block and restores it", () =>
      repairFlipped(ground, shell),
    );
    await teller.step("install-a", "v3, which hangs, is installed into slot a in the same way", async () => {
      const note = await install(ground, shell, "v3");
      shell.type("systemctl reboot");
      return note;
    });
    for (const attempt of [1, 2]) {
      await teller.step(
        `hang-${attempt}`,
        `v3 ruins the state and hangs (try ${attempt} of 2): the watchdog ends it`,
        async () => {
          await machine.expect("demo: v3 hangs", 180_000);
        },
      );
    }
    await teller.step("rollback", "the tries are used up: back on v2 in slot b, with its state", async () => {
      await shell.ready();
      await runsProven(shell, "b", false);
      const notes = await shell.must("cat /var/lib/demo/notes");
      check(notes === "written by v1\nwritten by v2", `the state is "${notes}"`);
    });
    await teller.step("status", "slipway status tells the story", async () => {
      await committed(shell, "b");
      const facts = await status(shell);
      check(facts.rollback?.from === "a", "it tells of no rollback from slot a");
      check(facts.slots.find(({ name }) => name === "a")?.tries === 0, "slot a has tries left");
      if (!teller.json) console.log(`\n${await shell.must("slipway status")}\n`);
    });
    const id = await shell.must("cat /etc/machine-id");
    await teller.step("recovery", "random bytes over both slots, and a reset: the machine reinstalls v2 by itself", async () => {
      await destroy(shell);
      await shell.ready(undefined, 600_000);
      const facts: { image: { version: string } } = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
      check(facts.image.version === "v2", `${facts.image.version} runs, not v2`);
      return recoveredBy(shell);
    });
    await teller.step("recovered", "it is the same machine, with its state; slipway status tells what it did", async () => {
      check((await shell.must("cat /etc/machine-id")) === id, "it has another machine id");
      check((await shell.must("cat /var/lib/demo/notes")) === "written by v1\nwritten by v2", "its state is not there");
      if (!teller.json) console.log(`\n${await shell.must("slipway status")}\n`);
    });
  } finally {
    await machine.cutPower();
    await ground.stop();
  }
}

function optionsIn(words: string[]) {
  const options = { arch: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ args: words, options });
  checkGuestArchitecture(values.arch);
  return values;
}

async function main(words: string[]): Promise<number> {
  let options: ReturnType<typeof optionsIn>;
  try {
    options = optionsIn(words);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
    return 2;
  }
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const teller = new Teller(options.json ?? false);
  const began = performance.now();
  const done = await tell(teller).then(
    () => true,
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      return false;
    },
  );
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  if (!teller.json)
    console.log(done ? `Everything was seen to be true, in ${seconds} s.` : `Not everything was true (${seconds} s).`);
  return done ? 0 : 1;
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)
  process.on(signal, () => process.exit(code));
process.exit(await main(process.argv.slice(2)));
