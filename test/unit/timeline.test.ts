/** Where the time of a boot went: from what PID 1 and systemd noted to a table and a picture. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { covered, ownMs, type Part } from "../../boot/timeline/parts.ts";
import { bootTimeline, totals } from "../../boot/timeline/rows.ts";
import { scaleOf } from "../../boot/timeline/scale.ts";
import { roundTime, timelineSvg } from "../../boot/timeline/svg.ts";
import { SYSTEMD_PROPERTIES, type SystemdTimes, systemdTimes } from "../../boot/timeline/systemd.ts";
import { timelineText } from "../../boot/timeline/text.ts";
import { matchesGolden } from "../golden.ts";

const part = (name: string, startMs: number, lengthMs: number, open = false): Part =>
  open ? { name, startMs, lengthMs, open: true } : { name, startMs, lengthMs };

const ordinary = [
  part("preinit", 1340.125, 48.25),
  part("runtime", 1388.375, 901.5),
  part("evaluate", 2289.875, 150.125),
  part("modules", 2440, 150),
  part("slot", 2600, 100),
  part("proof", 2620.5, 60.25),
  part("state", 2700, 155.5),
  part("handover", 2855.5, 3.25, true),
];

/** What systemd prints for {@link SYSTEMD_PROPERTIES}. */
const told = {
  FirmwareTimestampMonotonic: "2400000",
  LoaderTimestampMonotonic: "900000",
  UserspaceTimestampMonotonic: "2960500",
  FinishTimestampMonotonic: "9120000",
  SecurityStartTimestampMonotonic: "2990000",
  SecurityFinishTimestampMonotonic: "2990250",
  GeneratorsStartTimestampMonotonic: "3200000",
  GeneratorsFinishTimestampMonotonic: "3600000",
  UnitsLoadStartTimestampMonotonic: "3601000",
  UnitsLoadFinishTimestampMonotonic: "4200000",
};
const systemd = (change: Partial<Record<keyof typeof told, string>> = {}, nowMs = 60_000): SystemdTimes | null =>
  systemdTimes(new Map(Object.entries({ ...told, ...change })), nowMs);

const names = (parts: readonly Part[], times: SystemdTimes | null) =>
  bootTimeline(parts, times).rows.map(({ by, name, startMs, lengthMs }) => [by, name, startMs, lengthMs]);

test("from the firmware to the default target, each where it belongs, and the handover up to systemd's own start", () => {
  const timeline = bootTimeline(ordinary, systemd());
  assert.equal(names(ordinary, systemd()), [
    ["firmware", "firmware", -2400, 1500],
    ["firmware", "loader", -900, 900],
    ["kernel", "kernel", 0, 1340.125],
    ["slipway", "preinit", 1340.125, 48.25],
    ["slipway", "runtime", 1388.375, 901.5],
    ["slipway", "evaluate", 2289.875, 150.125],
    ["slipway", "modules", 2440, 150],
    ["slipway", "slot", 2600, 100],
    ["slipway", "proof", 2620.5, 60.25],
    ["slipway", "state", 2700, 155.5],
    ["slipway", "handover", 2855.5, 105],
    ["systemd", "set-up", 2960.5, 239.5],
    ["systemd", "security", 2990, 0.25],
    ["systemd", "generators", 3200, 400],
    ["systemd", "unit files", 3601, 599],
    ["systemd", "default target", 4200, 4920],
  ]);
  assert.equal(timeline.notes, []);
  assert.ok(timeline.rows.every(({ open, overlaps }) => !open && overlaps.length === 0));
  assert.equal(
    timeline.rows.filter(({ depth }) => depth > 0).map(({ name, depth }) => [name, depth]),
    [
      ["proof", 1],
      ["security", 1],
    ],
  );
  assert.equal(totals(timeline.rows), [
    { by: "firmware", notedMs: 2400, wholeMs: 2400, open: false },
    { by: "kernel", notedMs: 1340.125, wholeMs: 1340.125, open: false },
    { by: "slipway", notedMs: 1610.375, wholeMs: 1620.375, open: false },
    { by: "systemd", notedMs: 6158.5, wholeMs: 6159.5, open: false },
  ]);
  matchesGolden("timeline-ordinary", `${timelineText(timeline)}\n`, "txt");
  matchesGolden("timeline-ordinary", timelineSvg(timeline, "Slot a, attempt 7: 9.12 s from kernel start"), "svg");
});

test("without systemd there are the kernel and slipway, and the end of the handover is not known", () => {
  const timeline = bootTimeline(ordinary, null);
  assert.equal([...new Set(timeline.rows.map(({ by }) => by))], ["kernel", "slipway"]);
  assert.equal(timeline.rows.at(-1), {
    ...{ by: "slipway", name: "handover", startMs: 2855.5, lengthMs: 3.25 },
    ...{ open: true, depth: 0, overlaps: [] },
  });
  assert.equal(timeline.notes, ['the end of "handover" is not known: no systemd tells when it started']);
  assert.match(timelineText(timeline), /handover +2855\.500 +3\.250\+/);
  assert.match(timelineText(timeline), /slipway at least 1518\.6 ms \(10\.0 ms of it in no part\)/);
  assert.match(timelineSvg(timeline, "x"), /class="slipway open"/);
});

test("a report of an initrd that noted no handover, or nothing, is shown as far as it goes", () => {
  const old = [part("preinit", 1970, 80), part("runtime", 2050, 1700)];
  assert.equal(
    bootTimeline(old, systemd({ UserspaceTimestampMonotonic: "4000000" }))
      .rows.slice(0, 4)
      .map(({ name }) => name),
    ["firmware", "loader", "kernel", "preinit"],
  );
  assert.equal(names([], systemd({ FirmwareTimestampMonotonic: "0", LoaderTimestampMonotonic: "0" }))[0], [
    "kernel",
    "kernel",
    0,
    2960.5,
  ]);
  assert.equal(bootTimeline([], null), { rows: [], notes: [] });
  assert.is(timelineText(bootTimeline([], null)), "Nothing is known of this boot's times.");
  assert.match(timelineSvg(bootTimeline([], null), "x"), /<\/svg>\n$/);
});

test("a boot that goes on has no end yet", () => {
  const rows = bootTimeline(ordinary, systemd({ FinishTimestampMonotonic: "0" }, 5000)).rows;
  assert.equal(rows.at(-1), {
    by: "systemd",
    name: "default target",
    startMs: 4200,
    lengthMs: 800,
    open: true,
    depth: 0,
    overlaps: [],
  });
});

test("what systemd cannot have meant of this boot is left out", () => {
  assert.is(systemd({ UserspaceTimestampMonotonic: "0" }), null);
  assert.is(systemdTimes(new Map(), 1), null);
  for (const value of ["", "-5", "1e6", "0x10", "12 s", "99999999999999999999", "Tue 2026-01-01"]) {
    assert.is(systemd({ UserspaceTimestampMonotonic: value }), null, value);
    assert.is(systemd({ FirmwareTimestampMonotonic: value })?.firmwareMs, null, value);
  }
  const stages = (change: Parameters<typeof systemd>[0]) => systemd(change)?.stages.map(({ name }) => name);
  assert.equal(stages({}), ["security", "generators", "unit files"]);
  assert.equal(stages({ GeneratorsStartTimestampMonotonic: "50000000", GeneratorsFinishTimestampMonotonic: "50100000" }), [
    "security",
    "unit files",
  ]);
  assert.equal(stages({ SecurityStartTimestampMonotonic: "100", UnitsLoadFinishTimestampMonotonic: "3600999" }), ["generators"]);
  assert.is(new Set(SYSTEMD_PROPERTIES).size, 10);
  assert.equal(SYSTEMD_PROPERTIES.toSorted(), Object.keys(told).toSorted());
});

test("a loader without a firmware, and a firmware that counts less than its loader", () => {
  const rows = (change: Parameters<typeof systemd>[0]) => names([], systemd(change)).filter(([by]) => by === "firmware");
  assert.equal(rows({ FirmwareTimestampMonotonic: "0" }), [["firmware", "loader", -900, 900]]);
  assert.equal(rows({ FirmwareTimestampMonotonic: "100" }), [["firmware", "loader", -900, 900]]);
  assert.equal(rows({ LoaderTimestampMonotonic: "0" }), [["firmware", "firmware", -2400, 2400]]);
});

test("systemd that started before the handover was noted is shown beside it, and said", () => {
  const { rows, notes } = bootTimeline(ordinary, systemd({ UserspaceTimestampMonotonic: "2856000" }));
  assert.equal(notes, ['the end of "handover" is not known: by its own clock systemd started before that part did']);
  assert.equal(rows.find(({ name }) => name === "handover")?.overlaps, ["set-up"]);
  assert.equal(rows.find(({ name }) => name === "set-up")?.overlaps, ["handover"]);
  assert.match(timelineText({ rows, notes }), /handover .* beside set-up\n/);
});

test("parts at the same time are beside each other, those in another lie in it", () => {
  const rows = bootTimeline(
    [part("devices", 10, 50), part("modules", 30, 60), part("inner", 35, 5), part("same", 35, 5)],
    null,
  ).rows;
  assert.equal(
    rows.map(({ name, depth, overlaps }) => [name, depth, overlaps]),
    [
      ["kernel", 0, []],
      ["devices", 0, ["modules"]],
      ["modules", 0, ["devices"]],
      ["inner", 2, []],
      ["same", 3, []],
    ],
  );
  assert.equal(totals(rows)[1], { by: "slipway", notedMs: 80, wholeMs: 80, open: false });
});

test("no moment is counted twice", () => {
  const parts = [
    part("a", 0, 100),
    part("b", 10, 20),
    part("c", 15, 5),
    part("d", 25, 20),
    part("d again", 25, 20),
    part("at its end", 100, 0),
  ];
  assert.is(covered(parts), 100);
  assert.is(covered([part("a", 0, 1), part("b", 5, 1)]), 2);
  assert.is(covered([]), 0);
  assert.equal(
    parts.map((one) => ownMs(one, parts)),
    [65, 15, 5, 0, 20, 0],
  );
});

test("times that are none are left out, and said", () => {
  const hostile: [number, number, RegExp][] = [
    [-1, 5, /it starts at -1 ms/],
    [5, -1, /it took -1 ms/],
    [1e300, 5, /it starts at 1e\+300 ms/],
    [5, Number.POSITIVE_INFINITY, /it took Infinity ms/],
    [Number.NaN, 5, /it starts at NaN ms/],
  ];
  for (const [startMs, lengthMs, why] of hostile) {
    const timeline = bootTimeline([part("bad", startMs, lengthMs), part("good", 10, 1)], null);
    assert.equal(
      timeline.rows.map(({ name }) => name),
      ["kernel", "good"],
    );
    assert.match(timeline.notes.join(), why);
    assert.match(timelineText(timeline), /^Note: the part "bad" is left out/m);
    assert.not.match(timelineSvg(timeline, "x"), /="[^"]*(NaN|Infinity|e\+)/);
  }
  const many = bootTimeline(
    Array.from({ length: 700 }, (_, index) => part("again", index, 1)),
    null,
  );
  assert.equal(many.notes, ["200 more parts are left out"]);
});

test("odd names obey no terminal and are no markup", () => {
  const name = `</text><script>alert("1")</script>&'\x1b[2J\n${"x".repeat(500)}`;
  const timeline = bootTimeline([part(name, 10, 1), part(name, 10.5, 1)], null);
  const svg = timelineSvg(timeline, name);
  assert.not.match(svg, /<script|\p{Cc}(?<!\n)|x{200}/u);
  assert.match(svg, /&lt;\/text&gt;&lt;script&gt;/);
  assert.equal(
    svg.match(/<\/?([a-z]+)/g)?.filter((tag) => !/^<\/?(svg|title|style|rect|text|line)$/.test(tag)),
    [],
  );
  const text = timelineText(timeline);
  assert.not.match(text, /\p{Cc}(?<!\n)|x{200}/u);
  assert.is(text.split("\n").length, 6);
});

test("a recovery's long parts and its repeated ones leave room for the rest", () => {
  const recovery = [
    ...[part("preinit", 1300, 50), part("runtime", 1350, 900), part("modules", 2250, 150), part("devices", 2400, 70)],
    ...[
      part("record", 2470, 10),
      part("count", 2480, 20),
      part("slot", 2500, 400),
      part("count", 2910, 20),
      part("slot", 2930, 200),
    ],
    ...[part("recovery", 3130, 754_000), part("count", 757_130, 20), part("slot", 757_150, 200), part("proof", 757_200, 100)],
    ...[
      part("image", 757_350, 14),
      part("state", 757_364, 155),
      part("report", 757_519, 9000),
      part("handover", 766_519, 3, true),
    ],
  ];
  const timeline = bootTimeline(recovery, null);
  const scale = scaleOf(timeline.rows);
  assert.equal(scale.cuts, [
    { startMs: 3130, lengthMs: 754_000 },
    { startMs: 757_519, lengthMs: 9000 },
  ]);
  const share = (startMs: number, endMs: number) => scale.at(endMs) - scale.at(startMs);
  assert.ok(share(3130, 757_130) < 0.4 && share(1350, 2250) > 0.05, "the runtime can be seen");
  assert.is(scale.at(0), 0);
  assert.is(scale.at(766_522), 1);
  assert.ok(scale.ticks.every((ms) => ms <= 3130 || (ms >= 757_130 && ms <= 757_519) || ms >= 766_519));
  matchesGolden("timeline-recovery", `${timelineText(timeline)}\n`, "txt");
  matchesGolden("timeline-recovery", timelineSvg(timeline, "Slot b, attempt 3: 766.52 s from kernel start"), "svg");
});

test("moments lie in order on the line, whatever was cut, and marks are few", () => {
  for (const lengths of [[1], [0.001, 0.002], [5000, 5001, 1], [1e9, 1, 1e9], [0, 0]]) {
    let startMs = 0;
    const rows = lengths.map((lengthMs) => {
      startMs += lengthMs;
      return { startMs: startMs - lengthMs, lengthMs };
    });
    const scale = scaleOf(rows);
    const places = rows.map((row) => scale.at(row.startMs));
    assert.equal(
      places,
      places.toSorted((left, right) => left - right),
    );
    assert.ok(places.every((place) => place >= 0 && place <= 1));
    assert.ok(scale.ticks.length <= 12, `${scale.ticks.length}`);
  }
  assert.is(scaleOf([]).at(5), 0);
});

test("times are rounded for marks", () => {
  const shown = [0, 0.25, 250, 1000, 2500, -2000, 119_999, 120_000, 754_000].map(roundTime);
  assert.equal(shown, ["0 ms", "0.25 ms", "250 ms", "1 s", "2.5 s", "-2 s", "120 s", "2 min", "13 min"]);
});

test.run();
