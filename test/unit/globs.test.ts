import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { globFault, globMatcher } from "../../state-ops/globs.ts";

const rows: { glob: string; matches: string[]; not: string[] }[] = [
  { glob: "cache", matches: ["cache"], not: ["cach", "caches", "a/cache", "cache/x", ""] },
  { glob: "*.sock", matches: ["a.sock", ".sock", "a.b.sock"], not: ["a.sock/x", "d/a.sock", "a.socks"] },
  { glob: "d/*", matches: ["d/a", "d/.a"], not: ["d", "d/a/b"] },
  { glob: "**", matches: ["a", "a/b", "a/b/c"], not: [] },
  { glob: "d/**", matches: ["d/a", "d/a/b"], not: ["d", "dd/a", "x/d/a"] },
  { glob: "**/core", matches: ["core", "a/core", "a/b/core"], not: ["core/a", "xcore"] },
  { glob: "a/**/z", matches: ["a/z", "a/b/z", "a/b/c/z"], not: ["a", "z", "a/zz", "b/a/z"] },
  { glob: "**/x/**", matches: ["x/a", "a/x/b", "a/b/x/c/d"], not: ["x", "a/x"] },
  { glob: "**/**/x", matches: ["x", "a/x"], not: ["xx"] },
  { glob: "a?c", matches: ["abc", "a*c", "a?c"], not: ["ac", "a/c", "abbc"] },
  { glob: "*a*b", matches: ["ab", "aab", "xaxbxb"], not: ["ba", "abx"] },
  { glob: "(x).+$^", matches: ["(x).+$^"], not: ["x"] },
];

for (const { glob, matches, not } of rows) {
  test(`glob ${glob}`, () => {
    assert.is(globFault(glob), null);
    const matcher = globMatcher([glob]);
    for (const path of matches) assert.ok(matcher(path), `${glob} should match ${path}`);
    for (const path of not) assert.not(matcher(path), `${glob} should not match ${path}`);
  });
}

test("names are bytes: a character is a valid sequence of UTF-8, or one byte that is none", () => {
  const one = globMatcher(["?"]);
  for (const name of ["ü", "€", "🙂"]) assert.ok(one(Buffer.from(name)), name);
  assert.ok(one(Uint8Array.of(0xff)));
  assert.not(one(Uint8Array.of(0xff, 0xfe)));
  assert.ok(one("\xff"), "text is one character a byte");
  assert.ok(globMatcher(["ü*"])(Buffer.from("über")));
  assert.not(globMatcher(["ü*"])("über"), "as latin1 this is another name");
  assert.ok(globMatcher(["*/\u{1f642}"])(Buffer.from("a/🙂")));
});

test("several globs: one that matches is enough, none match nothing", () => {
  const matcher = globMatcher(["a", "b/**"]);
  assert.ok(matcher("a") && matcher("b/c"));
  assert.not(matcher("b"));
  assert.not(globMatcher([])("a"));
});

const faults: [string, RegExp][] = [
  ["", /no path below the store/],
  ["/etc", /without a slash at either end/],
  ["a/", /without a slash/],
  ["a//b", /"\/\/"/],
  ["../x", /no path below/],
  ["a/./b", /no path below/],
  ["a**", /stands for whole names/],
  ["***", /stands for whole names/],
  ["[ab]", /mean nothing here/],
  ["{a,b}", /mean nothing here/],
  ["a\\*", /mean nothing here/],
  ["a\nb", /control character/],
  ["a\0b", /control character/],
  ["\ud800", /no valid UTF-8/],
  ["x".repeat(5000), /too long/],
];

for (const [glob, message] of faults) {
  test(`no glob: ${JSON.stringify(glob.slice(0, 20))}`, () => assert.match(globFault(glob) ?? "", message));
}

test("no pattern takes exponential time", () => {
  const before = performance.now();
  assert.not(globMatcher(["*a".repeat(500)])(`${"a".repeat(4000)}b`));
  assert.not(globMatcher([`${"**/a/".repeat(200)}b`])(`${"a/".repeat(2000)}c`));
  assert.ok(performance.now() - before < 5000);
});

test("a plain path matches itself and nothing else; any text is either a fault or a matcher", () => {
  const name = fc.stringMatching(/^[a-z.]{1,4}$/).filter((text) => text !== "." && text !== "..");
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
  fc.assert(
    fc.property(path, path, (glob, other) => {
      assert.is(globMatcher([glob])(other), glob === other);
      assert.ok(globMatcher(["**"])(other));
    }),
  );
  fc.assert(
    fc.property(fc.string(), fc.uint8Array({ maxLength: 30 }), (glob, bytes) => {
      if (globFault(glob) === null) assert.type(globMatcher([glob])(bytes), "boolean");
    }),
  );
});

test.run();
