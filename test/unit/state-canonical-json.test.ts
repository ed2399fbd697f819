import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson, canonicalJsonWithDigest, digestOf, isCanonicalText } from "../../state-ops/canonical-json.ts";

test("the example of RFC 8785 section 3.2.3, keys sorted by UTF-16 code units", () => {
  const value = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
  };
  const names = [...canonicalJson(value).matchAll(/:"([A-Z][a-z]+)/g)].map((match) => match[1]);
  assert.equal(names, ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]);
});

test("the example of RFC 8785 section 3.2.2: numbers, strings, literals", () => {
  const value = {
    numbers: [Number("333333333.33333329"), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
    literals: [null, true, false],
  };
  const wanted =
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}\n';
  assert.is(canonicalJson(value), wanted);
});

test("what JSON has no word for is refused", () => {
  for (const value of [undefined, Number.NaN, Number.POSITIVE_INFINITY, 1n, "\ud800", Symbol.iterator, () => 1]) {
    assert.throws(() => canonicalJson({ a: [0, value] }), /JSON cannot hold/);
  }
  assert.throws(() => canonicalJson({ "\udc00": 1 }), /lone surrogate/);
});

test("the digest does not depend on the order of keys, and changes with every value", () => {
  const one = digestOf({ a: 1, b: [true], digest: "x" });
  assert.is(digestOf({ b: [true], a: 1 }), one);
  assert.is.not(digestOf({ b: [false], a: 1 }), one);
  assert.match(one, /^sha256:[0-9a-f]{64}$/);
  const text = canonicalJsonWithDigest({ b: [true], a: 1 });
  assert.is(text, `{"a":1,"b":[true],"digest":"${one}"}\n`);
});

test("any JSON value survives, and equal values give equal bytes", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
      const text = canonicalJson(left);
      const parsed: unknown = JSON.parse(text);
      assert.is(canonicalJson(parsed), text);
      assert.equal(parsed, JSON.parse(JSON.stringify(left)));
      assert.is(canonicalJson({ left, right }), canonicalJson({ right, left }));
    }),
  );
});

test("a text that is canonical is known by its own order, and one that may not be is left to the long way", () => {
  const known = (value: unknown, text = canonicalJson(value), twin = value) => isCanonicalText(text, JSON.parse(text), twin);
  assert.ok(known({ a: [1, { b: null, c: "x" }], d: true, é: "é" }));
  assert.ok(known([{}, []]));
  assert.ok(known({ a: 1, b: 2 }, '{"a":1,"b":2}\n', { b: 2, a: 1 }), "the order of what was read does not matter");
  for (const text of [
    '{"b":1,"a":2}\n',
    '{"a":{"c":1,"b":2}}\n',
    '[{"b":1,"a":2}]\n',
    '{"a":1,"a":1}\n',
    '{ "a":1}\n',
    '{"a":1}',
    '{"a":1.0}\n',
    '{"a":-0}\n',
    '{"a":1e999}\n',
    '{"a":"\\u0041"}\n',
    '{"a":"\\ud800"}\n',
    '{"9":1,"10":2}\n',
    '{"10":1,"9":2}\n',
  ]) {
    assert.not.ok(isCanonicalText(text, JSON.parse(text), JSON.parse(text)), text);
  }
  for (const twin of [{}, { a: 1 }, { a: 1, b: 3 }, { a: 1, b: 2, c: 3 }, { a: 1, b: [2] }, { a: 1, b: null }, [1, 2], null]) {
    assert.not.ok(isCanonicalText('{"a":1,"b":2}\n', { a: 1, b: 2 }, twin), JSON.stringify(twin));
  }
});

test.run();
