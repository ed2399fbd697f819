import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareNonce, isNonce, type NonceVerdict, whyOtherStore } from "../../boot/stores/nonce.ts";

const [one, two, three] = ["0123456789abcdef", "fedcba9876543210", "00000000000000ff"];

const verdicts: [string, (string | null)[], string | null, NonceVerdict][] = [
  ["the loader echoes what is in the store", [one], one, "same"],
  ["the store and the record's base agree", [one, one], one, "same"],
  ["a power cut came before the record: the store's is echoed", [two, one], two, "same"],
  ["a power cut came before the store reached the disk: the record's is echoed", [one, two], two, "same"],
  ["the loader reads another store", [one, one], two, "other"],
  ["and neither of the two", [one, two], three, "other"],
  ["the script of the loader is none of ours", [one, null], null, "none"],
  ["nothing was written yet", [null, null], null, "unknown"],
  ["nothing was written here, whatever is echoed", [null, null], one, "unknown"],
  ["a store without a place for it", [], null, "unknown"],
];
for (const [name, written, echoed, verdict] of verdicts) {
  test(`nonce: ${name}`, () => {
    assert.is(compareNonce(written, echoed), verdict);
  });
}

test("a nonce is 16 lower-case hex digits", () => {
  assert.ok(isNonce(one));
  for (const text of ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", " 123456789abcdef"]) {
    assert.not(isNonce(text), text);
  }
});

test("only another store is a reason to refuse, and it says what to do", () => {
  for (const verdict of ["same", "none", "unknown"] as const) assert.is(whyOtherStore(verdict, "/dev/vda1"), null);
  assert.match(
    whyOtherStore("other", "grub/grubenv on /dev/vda1") ?? "",
    /another store than grub\/grubenv on \/dev\/vda1.*reboot/,
  );
});

test.run();
