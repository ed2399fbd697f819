import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Baseline,
  formatBaseline,
  leastLength,
  nestedPaths,
  outsideNested,
  parseBaseline,
  storeBaseline,
} from "../../state-ops/merge/baseline.ts";
import { isTreePath, pathBytes, pathText } from "../../state-ops/merge/path-text.ts";
import { attributesDigest, contentMatters } from "../../state-ops/merge/tree.ts";
import { OperatorPaths } from "../../state-ops/operator-tree.ts";
import { anyTree, entry, tree } from "./merge-trees.ts";

const latin1 = Buffer.from([0x72, 0xff, 0x0a]).toString("latin1");

function baseline(words: Record<string, string>): Baseline {
  const store = {
    id: "etc",
    via: "overlay" as const,
    over: "sha256:1",
    entries: tree(words),
    texts: new Map([["passwd", latin1]]),
  };
  return { schema: 1, stores: [store] };
}

test("a baseline survives, whatever the order of its maps", () => {
  fc.assert(
    fc.property(anyTree(), anyTree(), (one, two) => {
      const stores = [
        { id: "etc", via: "overlay" as const, over: "x", entries: one, texts: new Map([["passwd", latin1]]) },
        { id: "var", via: "bind" as const, over: "x", entries: two, texts: new Map() },
      ];
      const text = formatBaseline({ schema: 1, stores });
      assert.equal(parseBaseline(text), { schema: 1, stores });
      const backwards = stores.map((store) => ({ ...store, entries: new Map([...store.entries].reverse()) })).reverse();
      assert.is(formatBaseline({ schema: 1, stores: backwards }), text);
    }),
    { numRuns: 200 },
  );
});

test("one entry as it is written", () => {
  const entries = new Map([["motd", { ...entry("x"), attributes: null }]]);
  const text = formatBaseline({ schema: 1, stores: [{ id: "etc", via: "bind", over: "r", entries, texts: new Map() }] });
  const content = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
  assert.is(
    text,
    `{"schema":1,"stores":[{"entries":[{"attributes":null,"content":"${content}","group":0,"mode":420,"owner":0,"path":"motd","size":1,"type":"file"}],"id":"etc","over":"r","texts":[],"via":"bind"}]}\n`,
  );
});

const faults: [what: string, change: (text: string) => string, message: RegExp][] = [
  ["no JSON", (text) => text.slice(1), /no JSON/],
  ["an unknown key", (text) => text.replace('"mode":493', '"mode":493,"time":1'), /stores\[0\]\.entries\[0\]\.time is not known/],
  ["a missing key", (text) => text.replace('"owner":0,', ""), /owner is missing/],
  ["another schema", (text) => text.replace('"schema":1', '"schema":2'), /schema must be 1/],
  ["a type", (text) => text.replace('"type":"file"', '"type":"socket"'), /type must be "file" or/],
  ["a digest", (text) => text.replace(/"sha256:[0-9a-f]{64}"/, '"sha256:00"'), /64 hex digits/],
  [
    "a directory with content",
    (text) => text.replace('"content":null', `"content":"sha256:${"0".repeat(64)}"`),
    /null for a directory/,
  ],
  ["a path that leaves the store", (text) => text.replace('"path":"d/f"', '"path":"d/../../f"'), /no path beneath the store/],
  ["an absolute path", (text) => text.replace('"path":"d/f"', '"path":"/d"'), /no path beneath the store/],
  ["a path in another form", (text) => text.replace('"path":"d/f"', '"path":"d/\\\\x66"'), /no path beneath the store/],
  ["an entry in no directory", (text) => text.replace('"path":"d/f"', '"path":"e/f"'), /e\/f lies in e, which is no directory/],
  ["an entry twice", (text) => text.replace('"path":"d/f"', '"path":"d"'), /d is there twice/],
  ["a text of wide characters", (text) => text.replace("\u00ff", "\u20ac"), /one character a byte/],
  ["half a character", (text) => text.replace(/"id":"[^"]*"/, '"id":"\\ud800"'), /canonical/],
  ["white space", (text) => text.replace(":[", ": ["), /canonical/],
];

test("no text of a baseline is shorter than what was counted without writing it", () => {
  fc.assert(
    fc.property(anyTree(), (entries) => {
      const store = { id: "x", via: "bind" as const, over: "", entries, texts: new Map() };
      const text = formatBaseline({ schema: 1, stores: [store] });
      const least = leastLength([store]);
      assert.ok(least <= text.length && least > 0.5 * (text.length - 200), `${least} of ${text.length}`);
    }),
  );
});

for (const [what, change, message] of faults) {
  test(`refused: ${what}`, () => {
    const text = formatBaseline(baseline({ "d/f": "x" }));
    assert.is.not(change(text), text);
    assert.throws(() => parseBaseline(change(text)), message);
  });
}

test("what goes into a store's baseline", () => {
  const paths = new OperatorPaths([{ path: "/var" }, { path: "/var/tmp" }, { path: "/var/lib/a\\b" }, { path: "/variant" }]);
  const image = {
    entries: tree({ "lib/a\\\\b/x": "x", "lib/c": "y", "tmp/z": "z", tmpfile: "x" }),
    texts: new Map([
      ["tmp/z", "z"],
      ["lib/c", "y"],
    ]),
  };
  const overlay = storeBaseline({ id: "var", path: "/var", via: "overlay", seed: "image" }, paths, "root", image);
  assert.equal([...overlay.entries.keys()], [".", "lib", "lib/c", "tmpfile"]);
  assert.equal([...overlay.texts], [["lib/c", "y"]]);
  const bind = { id: "var", path: "/var", via: "bind" as const };
  assert.is(storeBaseline({ ...bind, seed: "image" }, paths, "root", image).entries.size, 4);
  assert.is(storeBaseline({ ...bind, seed: "none" }, paths, "root", image).entries.size, 0);
  assert.equal(nestedPaths({ path: "/var" }, paths), ["lib/a\\\\b", "tmp"]);
  assert.equal(
    [
      ...outsideNested(
        new Map([
          ["a", 1],
          ["a/b", 2],
          ["ab", 3],
        ]),
        ["a"],
      ).keys(),
    ],
    ["ab"],
  );
});

test("any bytes have one text form, which is one printable line", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const text = pathText(bytes);
      assert.equal(Buffer.from(pathBytes(text) ?? []), Buffer.from(bytes));
      assert.not.match(text, /[\p{Cc}\u2028\u2029]/u);
      assert.ok(text.isWellFormed());
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 8 }), (name) => {
      const bytes = Buffer.from(name);
      assert.equal(Buffer.from(pathBytes(pathText(bytes)) ?? []), bytes);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("\\", "x", "0", "f", "é", "a") }), (text) => {
      const bytes = pathBytes(text);
      if (bytes !== null) assert.is(pathText(bytes), text);
    }),
    { numRuns: 2000 },
  );
});

test("text forms", () => {
  const forms: [number[], string][] = [
    [[0x61, 0x2f, 0xc3, 0xa9], "a/é"],
    [[0xff, 0x61], "\\xffa"],
    [[0x5c], "\\\\"],
    [[0x0a], "\\x0a"],
    [[0xc2, 0x9b], "\\xc2\\x9b"],
    [[0xe2, 0x80, 0xae], "\\xe2\\x80\\xae"],
    [[0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"],
    [[0xef, 0xbb, 0xbf, 0x61], "\ufeffa"],
    [[0xe2, 0x82], "\\xe2\\x82"],
  ];
  for (const [bytes, text] of forms) assert.is(pathText(Uint8Array.from(bytes)), text);
  for (const text of ["\\x41", "\\", "\\xFF", "\\xc3\\xa9", "\n"]) assert.is(pathBytes(text), null);
  for (const path of [".", "a", "a/b", "..a", "a/...", "\\xff"]) assert.ok(isTreePath(path), path);
  for (const path of ["", "..", "a/..", "./a", "a//b", "/a", "a/", "a\\x00"]) assert.not.ok(isTreePath(path), path);
});

test("extended attributes: the order does not count, what belongs to an overlay or an inode is left out", () => {
  const [one, two] = [
    { name: "user.a", value: Buffer.from("1") },
    { name: "security.capability", value: Buffer.from([1, 0]) },
  ];
  const marks = ["trusted.overlay.opaque", "security.evm", "btrfs.compression", "system.nfs4_acl"].map((name) => ({
    name,
    value: Buffer.from("y"),
  }));
  assert.is(attributesDigest(marks), null);
  assert.is(attributesDigest([one, two, ...marks]), attributesDigest([two, one]));
  assert.is.not(attributesDigest([one]), attributesDigest([{ ...one, value: Buffer.from("2") }]));
  assert.is.not(attributesDigest([one]), attributesDigest([one, two]));
});

test("which files of the state have to be read", () => {
  const file = entry("x");
  assert.ok(contentMatters(file, entry("y"), null));
  assert.ok(contentMatters(file, entry("long"), entry("y")));
  assert.not.ok(contentMatters(file, null, null));
  assert.not.ok(contentMatters(file, entry("long"), entry("dir")));
});

test.run();
