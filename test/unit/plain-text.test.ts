import { test } from "uvu";
import * as assert from "uvu/assert";
import { deviceFault } from "../../state-ops/device-reference.ts";
import { idFault, pathFault, slotNameFault } from "../../state-ops/operator-rules.ts";
import { beginsWithLetter, hasOnly, isDigits, isHex, isPlain } from "../../state-ops/plain-text.ts";

/** Every character of Latin-1, and some beyond. */
const characters = [
  ...Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)),
  ...["\u0130", "\u200f", "\ud800", "\u{1f4be}"],
];

test("text is plain where all of it is printable ASCII, wherever the other character stands", () => {
  for (const character of characters) {
    const plain = /^[\x20-\x7e]*$/.test(character);
    assert.is(isPlain(character), plain, JSON.stringify(character));
    assert.is(isPlain(`a${character}b`), plain, JSON.stringify(character));
  }
  assert.ok(isPlain(""));
});

test("letters, digits and some others: what a regular expression would say", () => {
  for (const character of characters) {
    assert.is(hasOnly(`a${character}`, "_-"), /^[A-Za-z0-9_-]*$/.test(`a${character}`), JSON.stringify(character));
    assert.is(beginsWithLetter(`${character}1`), /^[A-Za-z]/.test(character), JSON.stringify(character));
  }
  assert.not.ok(beginsWithLetter(""));
});

test("digits and hex digits: what a regular expression would say", () => {
  for (const character of characters) {
    for (const text of [character, `7${character}`, `${character}7`]) {
      assert.is(isDigits(text), /^[0-9]+$/.test(text), JSON.stringify(text));
      assert.is(isHex(text, 2), /^[0-9a-f]{2}$/.test(text), JSON.stringify(text));
    }
  }
  for (const text of ["", "7\n"]) assert.not.ok(isDigits(text));
  for (const text of ["", "abc", "ab\n"]) assert.not.ok(isHex(text, 2), JSON.stringify(text));
});

test("the rules for names say of every character what their regular expressions said", () => {
  const store = /^[A-Za-z0-9:_\\-][A-Za-z0-9:_.\\-]*$/;
  const slot = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;
  for (const character of characters) {
    for (const name of [character, `${character}x`, `x${character}`]) {
      assert.is(idFault(name) === null, store.test(name), JSON.stringify(name));
      assert.is(slotNameFault(name) === null, slot.test(name), JSON.stringify(name));
      assert.is(deviceFault(`PARTLABEL=${name}`) === null, /^[\x20-\x7e]{1,36}$/.test(name), JSON.stringify(name));
      const path = name.isWellFormed() && !/[\p{Cc}\p{Bidi_Control}/]/u.test(name) && name !== ".";
      assert.is(pathFault(`/${name}`) === null, path, JSON.stringify(name));
    }
  }
  for (const name of ["", `a${"b".repeat(32)}`]) assert.is.not(slotNameFault(name), null);
  assert.is(slotNameFault(`a${"b".repeat(31)}`), null);
  for (const name of ["", "x".repeat(37)]) assert.is.not(deviceFault(`PARTLABEL=${name}`), null);
  for (const text of ["", "=", "=root", "root", "PARTLABEL", "partlabel=root", "LABEL=a\u0007"]) {
    assert.is.not(deviceFault(text), null, text);
  }
  for (const text of ["LABEL=a=b", "LABEL=größe", "PARTUUID=0fc63daf-01", "UUID=ABCD-12"])
    assert.is(deviceFault(text), null, text);
});

test.run();
