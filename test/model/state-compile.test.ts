/** Whatever packages declare over whatever image: what compiles is a plan in which each path has one rule and none is hidden. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { planState } from "../../state-ops/state-plan.ts";
import { compileTexts, problemsOf } from "../samples/compile.ts";
import { canBeLaid, coverOf, imageOf, textsOf, type World, withoutRefused, world } from "./state-world.ts";

/** Compiles what is left once what is refused was taken away, as its messages say; each round takes some away. */
function compileRest(random: World): { control: ControlFile; left: World["fragments"] } {
  const image = imageOf(random);
  let left = random.fragments;
  for (;;) {
    const lines = problemsOf({ fragments: textsOf(left), image });
    if (lines.length === 0) return { control: compileTexts({ fragments: textsOf(left), image }).control, left };
    const fewer = withoutRefused(left, lines);
    assert.ok(count(fewer) < count(left), `no operator is named by ${lines.join("\n")}`);
    left = fewer;
  }
}

function count(fragments: World["fragments"]): number {
  return Object.values(fragments).flat().length;
}

test("no mount is shadowed, every path has exactly one rule, whatever was declared", () => {
  let operators = 0;
  let nested = 0;
  fc.assert(
    fc.property(world, (random) => {
      const { control } = compileRest(random);
      const image = imageOf(random);
      const steps = planState(control.operators, { generation: "gens/000001" });
      assert.is(steps.length, control.operators.length);
      for (const [index, step] of steps.entries()) {
        const laid = steps.slice(0, index);
        assert.ok(canBeLaid(step, laid, image), `/${step.path} (${step.origin}) cannot be laid`);
        assert.is(coverOf(`/${step.path}`, steps), step, `/${step.path} (${step.origin}) is hidden`);
        nested += coverOf(`/${step.path}`, laid) === null ? 0 : 1;
      }
      const { size } = new Set(control.operators.map(({ path }) => path));
      assert.is(size, steps.length, "one operator a path");
      assert.is(new Set(control.operators.map(({ id }) => id)).size, steps.length, "one operator a store");
      operators += steps.length;
    }),
    { numRuns: 300 },
  );
  assert.ok(operators > 900 && nested > 400, `only ${operators} operators compiled, ${nested} of them inside another`);
});

test("the order of files changes nothing: not the plan, not the bytes, not the messages", () => {
  fc.assert(
    fc.property(world, fc.infiniteStream(fc.nat()), (random, numbers) => {
      const shuffled = Object.fromEntries(
        Object.entries(random.fragments)
          .map((entry) => ({ entry, key: numbers.next().value }))
          .sort((left, right) => left.key - right.key)
          .map(({ entry }) => entry),
      );
      const image = imageOf(random);
      assert.equal(
        problemsOf({ fragments: textsOf(shuffled), image }),
        problemsOf({ fragments: textsOf(random.fragments), image }),
      );
      const { control, left } = compileRest(random);
      const reordered = compileRest({ ...random, fragments: shuffled });
      assert.is(canonicalJsonWithDigest(reordered.control), canonicalJsonWithDigest(control));
      assert.is(count(reordered.left), count(left));
    }),
    { numRuns: 100 },
  );
});

test("a control file whose operators were put in another order is refused, or hides nothing", () => {
  let refused = 0;
  fc.assert(
    fc.property(world, fc.nat(), fc.nat(), (random, from, to) => {
      const { control } = compileRest(random);
      const operators = [...control.operators];
      const [moved] = operators.splice(from % Math.max(1, operators.length), 1);
      if (moved === undefined) return;
      operators.splice(to % (operators.length + 1), 0, moved);
      try {
        readControl(canonicalJsonWithDigest({ ...control, operators }));
      } catch (error) {
        assert.instance(error, BadInput);
        assert.match(String(error), /comes before .*parents come first/);
        refused++;
        return;
      }
      const steps = planState(operators, { generation: "gens/000001" });
      for (const step of steps) assert.is(coverOf(`/${step.path}`, steps), step);
    }),
    { numRuns: 200 },
  );
  assert.ok(refused > 25, `only ${refused} were refused`);
});

test.run();
