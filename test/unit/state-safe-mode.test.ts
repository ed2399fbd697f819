/** Safe mode as a plan: what is in memory, what is the machine's own, and how much memory there is for it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Operator } from "../../state-ops/control.ts";
import { degradedNotes } from "../../state-ops/data-use.ts";
import { inSafeMode, memoryIn, planSafeMode } from "../../state-ops/safe-mode.ts";
import { sampleOperator as operator } from "../samples/operator.ts";

const MiB = 1024 * 1024;
const shared = { state: "shared", reason: "r" } as const;
const identity = { kind: "file", state: "identity", seed: "none", generate: "machine-id" } as const;

const operators: Operator[] = [
  operator("/etc", { via: "overlay" }),
  operator("/etc/machine-id", identity),
  operator("/etc/motd", { kind: "file", seed: "literal", literal: "hello" }),
  operator("/etc/secret", { kind: "file", state: null, via: "mask", seed: "none" }),
  operator("/srv", { ...shared, seed: "none" }),
  operator("/tmp", { state: "ephemeral", via: "tmpfs", size: 4096 }),
  operator("/var", { cache: true }),
  operator("/var/empty", { seed: "none" }),
  operator("/var/link", { via: "symlink", seed: "none", target: "/srv/link" }),
  operator("/var/vendor", { state: null, via: "readonly" }),
];

/** "/etc memory-overlay 64 MiB required" */
function lines(missing: string | null, memory: number | null): string[] {
  return planSafeMode(operators, { missing, memory }).map((step) => {
    const size = "size" in step && step.size !== null ? ` ${step.size}` : "";
    const lost = step.do === "tmpfs" && step.degraded ? " lost" : "";
    return `/${step.path} ${step.do}${"store" in step ? ` ${step.store}` : ""}${size}${lost} ${step.onFailure}`;
  });
}

test("persistent state is in memory over the image, shared and identity are the machine's own, nothing fails the slot but a mask", () => {
  const each = (512 * MiB) / 2 / 3 - (((512 * MiB) / 2 / 3) % 4096);
  assert.equal(lines(null, 512 * MiB), [
    `/etc memory-overlay ${each} degraded`,
    "/etc/machine-id bind shared/etc-machine-id degraded",
    "/etc/motd tmpfs degraded",
    "/etc/secret mask required",
    "/srv bind shared/srv degraded",
    "/tmp tmpfs 4096 degraded",
    `/var memory-overlay ${each} degraded`,
    `/var/empty tmpfs ${each} degraded`,
    "/var/link symlink degraded",
    "/var/vendor readonly degraded",
  ]);
});

test("without a data filesystem everything is in memory", () => {
  const plan = lines("no partition labelled sys-data", null);
  assert.equal(
    plan.filter((line) => line.includes("lost")),
    ["/etc/machine-id tmpfs lost degraded", "/srv tmpfs lost degraded"],
  );
  assert.not.match(plan.join(), / bind /);
});

test("a small machine's directories get 16 MiB each at least, and where nobody knows its memory what the kernel gives", () => {
  assert.match(lines(null, 64 * MiB)[0] ?? "", new RegExp(`^/etc memory-overlay ${16 * MiB} `));
  assert.is(lines(null, null)[0], "/etc memory-overlay degraded");
});

test("the image's content is kept for files: a literal, and what is made on the device", () => {
  const [, , motd] = planSafeMode(operators, { missing: null, memory: null });
  assert.ok(motd?.do === "tmpfs" && motd.literal === "hello" && motd.seed === "literal");
  const token = planSafeMode([operator("/var/token", { ...identity, state: "persistent" })], { missing: null, memory: null })[0];
  assert.ok(token?.do === "tmpfs" && token.generate === "machine-id");
});

test("what a system in safe mode does without is told once a path, with the reason", () => {
  const failed = [
    { path: "/etc/machine-id", reason: "no partition labelled sys-data" },
    { path: "/var", reason: "no overlay" },
    { path: "/var/vendor", reason: "EIO" },
  ];
  const told = inSafeMode(operators, failed);
  assert.equal(
    told.map(({ path }) => path),
    ["/etc", "/etc/motd", "/var", "/var/empty", "/etc/machine-id", "/var/vendor"],
  );
  assert.match(
    degradedNotes(told)[0] ?? "",
    /^degraded: \/etc, \/etc\/motd and 2 more: safe mode: it is in memory, and gone at the next/,
  );
  assert.is(told.at(-2)?.reason, "safe mode without its identity state: no partition labelled sys-data");
  assert.is(told.at(-1)?.reason, "EIO");
});

test("memory by /proc/meminfo", () => {
  assert.is(memoryIn("MemTotal:         131072 kB\nMemFree:          1 kB\n"), 128 * MiB);
  for (const text of ["", "MemFree: 1 kB", "MemTotal: much kB", "MemTotal: 1", "MemTotal: 9999999999999999999 kB"]) {
    assert.is(memoryIn(text), null, text);
  }
});

test.run();
