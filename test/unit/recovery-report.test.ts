/** The report of a recovery: what it says, how PID 1 posts it, and how the system does where PID 1 could not. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hostnameIn, machineIdIn, type ReportFacts, recoveryReportText } from "../../boot/recovery/report-text.ts";
import type { ToldRecovery, ToldStep } from "../../boot/recovery/step.ts";
import type { BootReport } from "../../boot/report.ts";
import { reportRecovery, reportUntilTaken } from "../../init/commands/report-recovery.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import type { Way } from "../../init/network/links/machine-network.ts";
import type { DeskNetwork } from "../../init/recovery/desk.ts";
import { postReport } from "../../init/recovery/report.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { startProxy } from "../../qemu/proxy.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { quickLimits } from "../samples/fetched.ts";
import { IMAGE_A, IMAGE_B, record, slot } from "./commands-machine.ts";
import { image } from "./golden-machine.ts";
import { text as dataText, used } from "./golden-state.ts";
import { World } from "./golden-world.ts";
import { recoveryDesk } from "./recovery-desk.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-report-"));
test.after(() => rmSync(directory, { recursive: true }));

const step: ToldStep = {
  rung: "reinstall",
  slot: "b",
  outcome: "booted",
  reason: "slot b: footer missing",
  startMs: 4000,
  lengthMs: 60_000,
  installed: { version: "7.0", imageId: IMAGE_B, source: "https://u.example/stable/", place: "mirror" },
  networkBytes: 5_000_000,
  writtenBytes: 9_000_000,
};
const told: ToldRecovery = {
  asked: null,
  rung: "reinstall",
  steps: [{ ...step, rung: "repair", outcome: "failed", reason: "no source", installed: null }, step],
  network: { link: "eth0", by: "DHCP", addresses: ["192.0.2.7/24"] },
  reportedTo: null,
};
const facts: ReportFacts = {
  machineId: "0123456789abcdef0123456789abcdef",
  hostname: "gateway",
  system: "acme-gateway",
  slipway: "0.1.0",
  bootId: "f".repeat(32),
  attempt: 8,
  nowUnixMs: 1_767_225_600_000.5,
  nowBootMs: 70_000.25,
  booted: { slot: "b", imageId: IMAGE_B, version: "7.0", trial: true, proof: "signed" },
  record: record({
    slots: { a: slot({ damaged: "block 7 is damaged", tries: 0 }), b: slot({ imageId: IMAGE_B, state: "trial" }) },
    recovery: { asked: null, tried: [{ rung: "reinstall", slot: "b", imageId: IMAGE_B }], current: null },
  }),
  skipped: [{ slot: "b", reason: "footer missing" }],
  told,
};

test("text: who, what booted, why each slot did not, what was tried and installed", () => {
  assert.equal(JSON.parse(recoveryReportText(facts)), {
    schema: 1,
    machineId: facts.machineId,
    hostname: "gateway",
    system: "acme-gateway",
    slipway: "0.1.0",
    bootId: facts.bootId,
    attempt: 8,
    writtenUnixMs: 1_767_225_600_001,
    writtenBootMs: 70_000,
    asked: null,
    rung: "reinstall",
    booted: facts.booted,
    slots: [
      { slot: "a", state: "committed", imageId: IMAGE_A, reason: "block 7 is damaged" },
      { slot: "b", state: "trial", imageId: IMAGE_B, reason: "footer missing" },
    ],
    steps: told.steps,
    tried: [{ rung: "reinstall", slot: "b", imageId: IMAGE_B }],
    installed: step.installed,
    network: told.network,
  });
});

test("text: nothing installed where the step that boots installed nothing, or is another slot's", () => {
  const installed = (change: Partial<ReportFacts>): unknown => JSON.parse(recoveryReportText({ ...facts, ...change })).installed;
  assert.is(installed({ told: { ...told, steps: [] } }), null);
  assert.is(installed({ told: { ...told, steps: [step, { ...step, rung: "safe-mode", installed: null }] } }), null);
  assert.is(installed({ told: { ...told, steps: [{ ...step, outcome: "failed" }] } }), null);
  assert.is(installed({ booted: { ...facts.booted, slot: "a" } }), null);
});

test("text: reasons are cut, also in the middle of a letter, and are always JSON", () => {
  const reason = `${"x".repeat(499)}😀${"y".repeat(9999)}`;
  const text = recoveryReportText({
    ...facts,
    skipped: [{ slot: "a", reason }],
    told: { ...told, steps: Array.from({ length: 50 }, () => ({ ...step, reason })) },
  });
  assert.ok(text.length < 100_000);
  const read = JSON.parse(text);
  assert.is(read.slots[0].reason.length, 501);
  assert.ok(read.steps[0].reason.isWellFormed());
  assert.is(JSON.parse(recoveryReportText({ ...facts, skipped: [{ slot: "a", reason: "\ud800" }] })).slots[0].reason, "\ufffd");
});

test("machine-id and hostname: sound ones only", () => {
  assert.is(machineIdIn(`${"ab".repeat(16)}\n`), "ab".repeat(16));
  for (const text of [null, "", "uninitialized\n", "0".repeat(32), "AB".repeat(16), "ab".repeat(15), `${"ab".repeat(16)}\nx`]) {
    assert.is(machineIdIn(text), null);
  }
  assert.is(hostnameIn("# ours\n\n gateway-7.example \n"), "gateway-7.example");
  for (const text of [null, "", "# none\n", "a b\n", "-a\n", "x".repeat(65), "root:$6$secret:1\n"])
    assert.is(hostnameIn(text), null);
});

interface Receiver {
  url: string;
  bodies: { body: string; type: string | null; token: string | null; method: string }[];
  stop(): void;
}

/** Takes reports with `status`, the first of several for the first, the last for all others. */
function startReceiver(statuses: number[] = [204], tls?: { certificate: string; key: string }): Receiver {
  const bodies: Receiver["bodies"] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    ...(tls ? { tls: { cert: readFileSync(tls.certificate, "utf8"), key: readFileSync(tls.key, "utf8") } } : {}),
    async fetch(request) {
      const { headers, method } = request;
      bodies.push({ body: await request.text(), type: headers.get("content-type"), token: headers.get("authorization"), method });
      return new Response(null, { status: statuses[Math.min(bodies.length, statuses.length) - 1] ?? 500 });
    },
  });
  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${server.port}/recoveries?key=hunter2`,
    bodies,
    stop: () => server.stop(true),
  };
}

const way = (proxy: string | null = null): Way => ({ link: "eth0", by: "DHCP", addresses: [], nameservers: [], proxy });

function networkOf(...ways: Way[]): DeskNetwork {
  return {
    async *ways() {
      yield* ways;
    },
    addresses: () => [],
  };
}

/** What becomes of a report that PID 1 posts. */
async function posted(
  report: string | null,
  network: DeskNetwork | null | Promise<never>,
  longestMs = 8000,
  proxy: string | null = null,
) {
  const world = new World({ a: image(1), control: { recovery: { ...DEFAULT_RECOVERY, report, proxy } } });
  const desk = await recoveryDesk(world);
  let chores = 0;
  desk.boot.alsoChore = () => void chores++;
  const log: string[] = [];
  const told = (line: string) => void log.push(line);
  desk.boot.log.notice = told;
  desk.boot.log.warning = told;
  const to = await postReport({ ...desk, network: async () => network }, "{}\n", longestMs);
  return { to, log: log.join("\n"), chores };
}

test("PID 1 posts it, and never tells the secret that a URL may hold", async () => {
  const receiver = startReceiver();
  const { to, log } = await posted(receiver.url, networkOf(way()));
  assert.is(to, receiver.url.replace("key=hunter2", "…"));
  assert.equal(receiver.bodies, [{ body: "{}\n", type: "application/json", token: null, method: "POST" }]);
  assert.match(log, /the recovery was reported to http:/);
  assert.not.match(log, /hunter2/);
  receiver.stop();
});

test("PID 1 goes on to the next way and the next proxy where one is no use", async () => {
  const receiver = startReceiver();
  const proxy = await startProxy();
  const tries = networkOf(way("http://127.0.0.1:1"));
  assert.is.not((await posted(receiver.url, tries)).to, null, "without the proxy");
  assert.is.not((await posted(receiver.url, tries, 8000, proxy.url)).to, null, "by the control file's proxy");
  assert.equal(proxy.requests(), [`POST ${receiver.url}`]);
  await proxy.stop();
  receiver.stop();
});

test("PID 1 leaves it where nobody takes it, no network is there, or all hangs; the watchdog is fed meanwhile", async () => {
  const receiver = startReceiver([500]);
  const refused = await posted(receiver.url, networkOf(way()));
  assert.is(refused.to, null);
  assert.match(
    refused.log,
    /not reported yet: http:.*answers 500; gave up after 2 attempts.*the system that is booted tries again/,
  );
  assert.not.match(refused.log, /hunter2/);
  receiver.stop();
  assert.match((await posted(receiver.url, null)).log, /no way to the network came up/);
  assert.match((await posted(receiver.url, networkOf())).log, /no way to the network came up/);
  assert.match((await posted("no url", networkOf(way()))).log, /not reported yet: "no url" is no http/);
  const never = new Promise<never>(() => {});
  const hanging: DeskNetwork = {
    async *ways() {
      yield await never;
    },
    addresses: () => [],
  };
  for (const network of [never, hanging]) {
    const { to, chores } = await posted(receiver.url, network, 1200);
    assert.is(to, null);
    assert.ok(chores >= 3, `${chores} chores`);
  }
  const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  assert.is((await posted(`http://127.0.0.1:${mute.port}/`, networkOf(way()), 700)).to, null);
  mute.stop(true);
});

test("PID 1 asks nobody where nobody is to be told", async () => {
  const { to, log, chores } = await posted(null, networkOf(way()));
  assert.equal([to, log, chores], [null, "", 0]);
});

test("a boot that recovery led to leaves its report to the system where there is no network, and the machine names itself", async () => {
  const world = await used({ recovery: { ...DEFAULT_RECOVERY, report: "https://fleet.example/recoveries" } });
  world.change((before) => ({ ...before, recovery: { asked: "safe-mode", tried: [], current: null } }));
  const boot = await world.boot();
  const report: BootReport = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  assert.is(report.recovery?.rung, "safe-mode");
  assert.is(report.recovery?.reportedTo, null);
  const left = JSON.parse(boot.kernel.peek("/run/slipway/recovery-report.json") ?? "null");
  assert.is(left.rung, "safe-mode");
  assert.is(left.machineId, dataText(world, "shared/etc-machine\\x2did")?.trim());
  assert.match(left.machineId, /^[0-9a-f]{32}$/);
  assert.is(left.booted.slot, report.slot);
  assert.is(left.steps.at(-1).outcome, "booted");
});

test("an ordinary boot, and a recovery of a machine that reports to nobody, leave no report", async () => {
  const reporting = await used({ recovery: { ...DEFAULT_RECOVERY, report: "https://fleet.example/" } });
  assert.is((await reporting.boot()).kernel.peek("/run/slipway/recovery-report.json"), null);
  const silent = await used({ recovery: DEFAULT_RECOVERY });
  silent.change((before) => ({ ...before, recovery: { asked: "safe-mode", tried: [], current: null } }));
  assert.is((await silent.boot()).kernel.peek("/run/slipway/recovery-report.json"), null);
});

/** A running system with that control file and a report that waits. */
function system(recovery: object | null, sources: unknown[] = []) {
  const at = mkdtempSync(join(directory, "system-"));
  const write = (name: string, value: unknown): string => {
    writeFileSync(join(at, name), JSON.stringify(value), { mode: 0o600 });
    return join(at, name);
  };
  const control = write("control.json", { schema: 1, ...(recovery ? { recovery } : {}) });
  return {
    control,
    recoveryReport: write("report.json", { rung: "repair" }),
    settings: write("sources.json", { schema: 1, sources }),
  };
}
const kernel = linuxKernel();
const quick = { limits: quickLimits() };
const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "none",
    (error: unknown) => error,
  );

test("the system posts it as the machine that it is, and removes it once it was taken", async () => {
  const authority = await makeAuthority(directory, "authority");
  const receiver = startReceiver([204], await makeCertificate(directory, "server", authority, ["IP:127.0.0.1"]));
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "abc\n");
  chmodSync(tokenFile, 0o600);
  const origin = new URL(receiver.url).origin;
  const authorities = readFileSync(authority.certificate, "utf8");
  const places = system({ report: receiver.url, authorities, proxy: null }, [{ origin, tokenFile }]);
  assert.is(await reportRecovery(kernel, places, {}, quick), receiver.url.replace("key=hunter2", "…"));
  assert.equal(receiver.bodies, [{ body: `{"rung":"repair"}`, type: "application/json", token: "Bearer abc", method: "POST" }]);
  assert.not.ok(existsSync(places.recoveryReport));
  assert.instance(await errorOf(reportRecovery(kernel, places, {}, quick)), Refusal);

  const unknown = system({ report: receiver.url, authorities: null, proxy: null });
  assert.match(String(await errorOf(reportRecovery(kernel, unknown, {}, quick))), /not proven to be that server/);
  assert.ok(existsSync(unknown.recoveryReport), "what was not taken stays");
  const own = system({ report: receiver.url, authorities: null, proxy: null }, [{ origin, ca: authority.certificate }]);
  await reportRecovery(kernel, own, {}, quick);
  assert.is(receiver.bodies.length, 2);
  receiver.stop();
});

test("the system tries the control file's proxy, then none; its own settings' proxy alone", async () => {
  const receiver = startReceiver();
  await reportRecovery(kernel, system({ report: receiver.url, proxy: "http://127.0.0.1:1" }), {}, quick);
  const origin = new URL(receiver.url).origin;
  const places = system({ report: receiver.url }, [{ origin, proxy: "http://127.0.0.1:1" }]);
  assert.match(String(await errorOf(reportRecovery(kernel, places, {}, quick))), /the proxy refuses connections/);
  assert.is(receiver.bodies.length, 1);
  receiver.stop();
});

test("refused: a machine that reports to nobody, an initrd that knows no recovery, a control file that is none", async () => {
  for (const recovery of [{ report: null }, {}, null]) {
    const error = await errorOf(reportRecovery(kernel, system(recovery), {}, quick));
    assert.instance(error, Refusal);
    assert.match(String(error), /names nobody to be told/);
  }
  const error = await errorOf(reportRecovery(kernel, system({ report: 7 }), {}, quick));
  assert.instance(error, Refusal);
  assert.match(String(error), /control\.json\.recovery\.report is 7, expected a text/);
  const options = system({ report: "https://u.example/" });
  assert.instance(await errorOf(reportRecovery(kernel, options, { certificate: "c" }, quick)), BadInput);
});

test("until it is taken: pauses grow up to an hour, jittered; wrong settings may be put right meanwhile", async () => {
  const receiver = startReceiver([...Array(10).fill(404), 204]);
  const places = system({ report: receiver.url });
  const [pauses, failed]: [number[], string[]] = [[], []];
  const sleep = async (ms: number): Promise<void> => {
    pauses.push(ms / 1000);
    // somebody breaks the settings, and puts them right
    if (pauses.length === 3) writeFileSync(places.settings, "{");
    if (pauses.length === 5) writeFileSync(places.settings, `{ "schema": 1, "sources": [] }`);
  };
  const taker = await reportUntilTaken(
    kernel,
    places,
    {},
    (line) => failed.push(line),
    sleep,
    () => 1,
    quick,
  );
  assert.is(taker, receiver.url.replace("key=hunter2", "…"));
  assert.equal(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600]);
  assert.match(failed[0] ?? "", /answers 404: .*; trying again in 30 s/);
  assert.match(failed[3] ?? "", /is not JSON/);
  assert.not.ok(existsSync(places.recoveryReport));
  assert.is(await reportUntilTaken(kernel, places, {}, () => {}, sleep), null, "nothing waits any more");
  receiver.stop();
});

test.run();
