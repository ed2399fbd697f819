/** `slipway timeline`: what it asks, and what it says where there is nothing to ask. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readReport } from "../../init/commands/read-facts.ts";
import { readTimeline, timelineAnswer, verb } from "../../init/commands/timeline.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { type MachineOptions, report, TestMachine } from "./commands-machine.ts";

const timeline = [
  { name: "preinit", startMs: 1300.5, lengthMs: 50 },
  { name: "handover", startMs: 1350.5, lengthMs: 2.125, open: true as const },
];

const systemd = `printf 'UserspaceTimestampMonotonic=1400250\\nFinishTimestampMonotonic=9000000\\nGeneratorsStartTimestampMonotonic=0\\n'`;

function told(options: MachineOptions) {
  const machine = new TestMachine({ report: report({ timeline }), ...options });
  return { machine, ...readTimeline(machine.kernel, machine.places) };
}

test("systemd is asked once, for its manager's times, and ends the handover", () => {
  const { machine, ...answer } = told({ systemctl: systemd });
  assert.is(machine.systemctlCalls.length, 1);
  assert.match(machine.systemctlCalls[0] ?? "", /^show --no-pager --property=\S*\bUserspaceTimestampMonotonic\b\S*$/);
  assert.is(answer.title, "Slot a, attempt 7: 9.00 s from kernel start to the default target");
  assert.match(
    timelineAnswer(answer, "text"),
    /^slipway +preinit .*\n +handover +1350\.500 +49\.750 +#\nsystemd +default target/m,
  );
  const { schema, rows, totals, notes } = JSON.parse(timelineAnswer(answer, "json"));
  assert.equal([schema, rows.length, totals.length, notes], [1, 4, 3, []]);
  assert.match(timelineAnswer(answer, "svg"), /^<svg [\s\S]*<\/svg>$/);
});

test("a machine without systemd, or whose systemd does not tell, has the kernel's and slipway's times", () => {
  for (const systemctl of ["exit 1", "true", "echo UserspaceTimestampMonotonic=0", "echo nonsense; echo =; echo a=b=c"]) {
    const { timeline: known, title } = told({ systemctl });
    assert.equal(
      known.rows.map(({ name, open }) => [name, open]),
      [
        ["kernel", false],
        ["preinit", false],
        ["handover", true],
      ],
    );
    assert.match(title, /to slipway's last note$/);
  }
  const machine = new TestMachine({ report: report({ timeline }) });
  const { timeline: known } = readTimeline(machine.kernel, { ...machine.places, systemctl: "/nonexistent/systemctl" });
  assert.is(known.rows.length, 3);
});

test("a machine that slipway did not boot is refused, with the remedy, and so is a report that is none", () => {
  const machine = new TestMachine();
  const refused = (path: string, why: RegExp) =>
    assert.throws(
      () => readTimeline(machine.kernel, { ...machine.places, report: path }),
      (error: unknown) => error instanceof Refusal && why.test(error.message),
    );
  refused(
    "/run/none.json",
    /^this machine was not booted by slipway: \/run\/none\.json cannot be read \(ENOENT\); run this as root/,
  );
  const planted = (name: string, value: unknown) => {
    machine.kernel.plant("/run", { [name]: JSON.stringify(value) });
    return `/run/${name}`;
  };
  refused(planted("list.json", []), /boot\.json is no object/);
  refused(
    planted("text.json", { ...report(), timeline: [{ name: "x", startMs: "1", lengthMs: 1 }] }),
    /startMs is "1", expected a number/,
  );
  refused(
    planted("open.json", { ...report(), timeline: [{ name: "x", startMs: 1, lengthMs: 1, open: "yes" }] }),
    /open is "yes"/,
  );
});

test("an older initrd's whole milliseconds and a newer one's keys are read", () => {
  const of = (parts: unknown) => readReport(JSON.stringify({ ...report(), timeline: parts })).timeline;
  assert.equal(of([{ name: "x", startMs: 1, lengthMs: 2 }]), [{ name: "x", startMs: 1, lengthMs: 2 }]);
  assert.equal(of([{ name: "x", startMs: 1.125, lengthMs: 2, open: true, more: 1 }]), [
    { name: "x", startMs: 1.125, lengthMs: 2, open: true },
  ]);
  assert.equal(of([{ name: "x", startMs: 1, lengthMs: 2, open: false }]), [{ name: "x", startMs: 1, lengthMs: 2 }]);
  assert.equal(of(undefined), []);
});

test("two answers at once, and a place to write that is none, are bad input", async () => {
  const refused = async (values: Parameters<typeof verb.run>[0], why: RegExp) => {
    const error = await verb.run(values, []).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof BadInput && why.test(error.message), String(error));
  };
  await refused({ json: true, svg: true }, /two answers/);
  await refused({ svg: true, output: "/nonexistent/x.svg" }, /\/nonexistent is no directory/);
  await refused({ svg: true, output: "/tmp" }, /no regular file/);
});

test.run();
