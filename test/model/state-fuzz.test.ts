/** Whatever the bytes of a fragment, of system.yaml and of a control file: a clear error or a valid result, in bounded time. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { verb as compileVerb } from "../../init/builder/state/compile.ts";
import { canonicalJson, canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { LONGEST_YAML, parseYaml } from "../../state-ops/schema/document.ts";
import { planState } from "../../state-ops/state-plan.ts";
import { fragment, problemsOf, sampleSystem } from "../samples/compile.ts";
import { sampleControl } from "../samples/control-file.ts";
import { sampleOperator } from "../samples/operator.ts";

const whole = `${fragment([
  "path: /tmp, state: ephemeral, size: 64M, inodes: 100, flags: [noexec, dev]",
  'path: /srv, state: shared, reason: "r", mode: "0700", owner: app, context: a:b:c',
  "path: /home, state: persistent, exclude: [a, '**/b'], merge: keyed, renamed-from: old, on-failure: degraded",
  "path: /etc/machine-id, state: identity, generate: machine-id",
  "path: /var/lib/empty, via: mask",
])}`;

const pieces = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("", " ", "a", "0", "1") },
  fc.string({ maxLength: 6, unit: "binary" }),
  fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    "\n",
    ": ",
    "- ",
    "&a ",
    "*a",
    "<<: *a",
    "!!x ",
    "!!binary ",
    "? ",
    "\t",
    "|\n",
    ">-\n",
    "#",
  ),
  fc.constantFrom(
    "null",
    "~",
    ".inf",
    ".nan",
    "0x1f",
    "1e999",
    "9".repeat(400),
    "-0",
    "2001-01-01",
    "__proto__: 1",
    "constructor",
  ),
  fc.constantFrom(
    "\0",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\u2028",
    "\u0085",
    "\ud800",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "state: ephemeral",
  ),
);

function edits(text: string): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(text.length), fc.nat(2), pieces);
  return fc
    .array(edit, { minLength: 1, maxLength: 2 })
    .map((all) => all.reduce((old, [at, length, put]) => old.slice(0, at) + put + old.slice(at + length), text));
}

/** Every problem has a place, and shows nothing that a terminal obeys. */
function checkProblems(lines: readonly string[], file: string, input: string): void {
  for (const line of lines) {
    assert.match(line, /^(x|system)\.yaml:\d+:\d+: ./s, `${file}: ${JSON.stringify(input)}`);
  }
}

test("an edited fragment or system definition compiles, or has problems that each have a place", () => {
  let compiled = 0;
  fc.assert(
    fc.property(edits(whole), edits(sampleSystem), (edited, system) => {
      const lines = problemsOf({ fragments: { "x.yaml": edited } });
      checkProblems(lines, "x.yaml", edited);
      compiled += lines.length === 0 ? 1 : 0;
      checkProblems(problemsOf({ system }), "system.yaml", system);
    }),
    { numRuns: 400 },
  );
  assert.ok(compiled > 3, `only ${compiled} compiled`);
});

const limit = LONGEST_YAML;
/** `text` and as many of `each` as a file may hold. */
function many(text: string, each: (index: number) => string): string {
  let all = text;
  for (let index = 0; all.length + each(index).length <= limit; index++) all += each(index);
  return all;
}

/** Texts that keep a careless reader busy, as long as a file may be. */
const costly: [string, string, RegExp | null][] = [
  ["too long a file", "#".repeat(limit + 1), /characters, more than 262144; split it/],
  ["sequences in each other", "[".repeat(limit), /nested too deeply|flow/i],
  ["closed ones", `${"[".repeat(4000)}${"]".repeat(4000)}`, null],
  ["maps in each other", "{a: ".repeat(50_000), /nested too deeply|flow/i],
  ["dashes", `${"- ".repeat(100_000)}a`, /nested too deeply/],
  ["keys in keys", "? ".repeat(100_000), /nested too deeply/],
  ["different keys", many("", (index) => `k${index}: 1\n`), null],
  ["one key", many("", () => "k: 1\n"), /the key k is given twice/],
  ["an alias bomb", "a: &a [x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n", /anchors and aliases are not read/],
  ["anchors", many("", (index) => `k${index}: &a${index} 1\n`), /anchors and aliases/],
  ["aliases", many("a: &a 1\n", (index) => `k${index}: *a\n`), /anchors and aliases/],
  ["mistakes", many("", () => "}\n"), /Unexpected/],
  ["documents", many("", () => "---\n"), /second document/],
  ["tags", many("", () => "!a "), /tag/],
  ["quotes", `"${"\\\\".repeat(100_000)}`, /Missing closing/],
  ["a long line of spaces", `${" ".repeat(200_000)}a: b`, null],
  ["folded lines", many("a: >\n", () => "  x\n"), null],
  ["a number", `a: ${"9".repeat(200_000)}`, null],
];

for (const [name, text, message] of costly) {
  test(`costly YAML: ${name}`, () => {
    const before = performance.now();
    const { document, problems } = parseYaml("x.yaml", "x.yaml", text);
    assert.is(document === null, message !== null, JSON.stringify(problems[0]));
    assert.ok(problems.length <= 20, `${problems.length} problems`);
    if (message !== null) assert.match(problems[0]?.text ?? "", message);
    if (document !== null) assert.ok(problemsOf({ fragments: { "x.yaml": text } }).length > 0);
    assert.ok(performance.now() - before < 20_000, "takes too long");
  });
}

const costlyFragments: [string, string][] = [
  ["operators that are none", many("package: p\noperators:\n", () => "  - {}\n")],
  ["unknown keys", many("package: p\noperators: []\n", (index) => `k${index}: 1\n`)],
  ["sound operators", many("package: p\noperators:\n", (index) => `  - { path: /tmp/${index}, state: ephemeral }\n`)],
  ["one path", many("package: p\noperators:\n", (index) => `  - { path: /tmp, state: persistent, id: i${index} }\n`)],
  ["overrides", many("package: p\noperators:\n", (index) => `  - { path: /tmp, state: ephemeral, override: p${index} }\n`)],
  ["deep paths", many("package: p\noperators:\n", () => `  - { path: ${"/a".repeat(2000)}, state: ephemeral }\n`)],
];

for (const [name, text] of costlyFragments) {
  test(`costly fragment: ${name}`, () => {
    const before = performance.now();
    const problems = problemsOf({ fragments: { "x.yaml": text } });
    assert.ok(problems.length > 1, problems.join("\n"));
    assert.ok(performance.now() - before < 30_000, `takes ${performance.now() - before} ms`);
  });
}

/** Runs the verb in a directory of its own with these bytes; the exit code, or what it threw. */
async function runVerb(place: string, system: Uint8Array, fragmentBytes: Uint8Array): Promise<number> {
  writeFileSync(join(place, "system.yaml"), system);
  writeFileSync(join(place, "x.yaml"), fragmentBytes);
  const { error, log } = console;
  console.error = console.log = () => {};
  try {
    const at = (name: string): string => join(place, name);
    const values = { system: at("system.yaml"), root: at("root"), fragments: [at("x.yaml")], output: at("control.json") };
    return await compileVerb.run(values, []);
  } catch (thrown) {
    assert.instance(thrown, BadInput, String(thrown));
    return 2;
  } finally {
    console.error = error;
    console.log = log;
  }
}

test("whatever the bytes of the files: the verb writes a whole control file, or leaves the old one and nothing else", async () => {
  const place = mkdtempSync(join(tmpdir(), "slipway-fuzz-"));
  try {
    for (const directory of ["etc", "tmp", "home", "srv", "var/lib/empty"])
      mkdirSync(join(place, "root", directory), { recursive: true });
    writeFileSync(join(place, "root/etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:9:9::/:/x\n");
    writeFileSync(join(place, "root/etc/machine-id"), "");
    const output = join(place, "control.json");
    const ends = { written: 0, refused: 0 };
    const bytesOf = (text: string): Uint8Array => Buffer.from(text);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.constant(bytesOf(whole)),
      edits(whole).map(bytesOf),
      fc
        .tuple(fc.nat(whole.length), fc.uint8Array({ maxLength: 3 }))
        .map(([at, put]) => Buffer.concat([bytesOf(whole.slice(0, at)), put, bytesOf(whole.slice(at))])),
    );
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), async (fragmentBytes, isFirst) => {
        rmSync(output, { force: true });
        if (!isFirst) writeFileSync(output, "old");
        const code = await runVerb(place, bytesOf(sampleSystem), fragmentBytes);
        assert.equal(
          readdirSync(place)
            .filter((name) => name !== "control.json")
            .sort(),
          ["root", "system.yaml", "x.yaml"],
        );
        if (code === 0) {
          readControl(readFileSync(output, "utf8"));
          ends.written++;
          return;
        }
        assert.is(code, 2);
        assert.is(existsSync(output) ? readFileSync(output, "utf8") : null, isFirst ? null : "old");
        ends.refused++;
      }),
      { numRuns: 120 },
    );
    assert.ok(ends.written > 10 && ends.refused > 25, JSON.stringify(ends));
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});

test("whatever words an operator of a control file has: it is planned, or refused with a reason", () => {
  const words = fc.record({
    path: fc.constantFrom("/srv", "/srv/a", "/run/x", "/etc", "/", "/usr/x", "/run/slipway/x", "/srv/../x"),
    kind: fc.constantFrom("directory", "file"),
    state: fc.constantFrom(null, "ephemeral", "persistent", "shared", "identity"),
    via: fc.constantFrom("overlay", "bind", "tmpfs", "symlink", "mask", "readonly"),
    seed: fc.constantFrom("image", "none", "literal"),
    literal: fc.constantFrom(null, "x"),
    size: fc.constantFrom(null, 4096, 5, 1e300),
    inodes: fc.constantFrom(null, 2, 0),
    target: fc.constantFrom(null, "/run/y", "/srv", "y"),
    merge: fc.constantFrom("local", "keyed"),
    cache: fc.boolean(),
    exclude: fc.constantFrom([], ["a"], ["/a"]),
    generate: fc.constantFrom(null, "uuid"),
    renamedFrom: fc.constantFrom(null, "old"),
    reason: fc.constantFrom(null, "r"),
    flags: fc.constantFrom(["nodev", "nosuid"], ["nosuid", "nodev"], ["nodev", "nodev"], []),
    context: fc.constantFrom(null, "a:b:c", "a"),
  });
  const keys = ["path", "kind", "state", "via", "seed", "literal", "size", "inodes", "target", "merge", "cache", "exclude"];
  const changed = fc.shuffledSubarray([...keys, "generate", "renamedFrom", "reason", "flags", "context"], { maxLength: 4 });
  const random = fc
    .tuple(words, changed)
    .map(([all, some]) => Object.fromEntries(Object.entries(all).filter(([key]) => some.includes(key))));
  const seen = { planned: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(random, { minLength: 1, maxLength: 2 }), (list) => {
      const operators = list.map((change, index) => ({ ...sampleOperator("/srv"), ...change, id: `i${index}` }));
      const text = canonicalJsonWithDigest({ ...sampleControl(), operators });
      try {
        const control = readControl(text);
        assert.is(canonicalJson(control), text);
        assert.is(planState(control.operators, { generation: "gens/000001" }).length, operators.length);
        seen.planned++;
      } catch (error) {
        assert.instance(error, BadInput, String(error));
        assert.match(String(error), /control file: .{20}/);
        seen.refused++;
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(seen.planned > 100 && seen.refused > 500, JSON.stringify(seen));
});

test.run();
