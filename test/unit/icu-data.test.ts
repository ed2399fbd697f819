import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { findIcuData, isForeignItem } from "../../boot/icu-data.ts";
import { dist } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { trimIcuData } from "../../scripts/build/trim-icu.ts";

const NAMES = ["brkitr/thaidict.dict", "brkitr/word.brk", "de.res", "en.res", "nfkc.nrm", "root.res", "zu.res"];

/** A package as ICU's own tools make it, 64 bytes an item; `change` spoils it. */
function icuPackage(change: (bytes: Buffer) => void = () => undefined): Buffer {
  const header = Buffer.alloc(32);
  header.writeUInt16LE(32, 0);
  header.set([0xda, 0x27], 2);
  header.writeUInt16LE(20, 4);
  header.set([0, 0, 2, 0], 8);
  header.write("CmnD", 12);
  header.set([1, 0, 0, 0], 16);
  const table = Buffer.alloc(4 + 8 * NAMES.length);
  table.writeUInt32LE(NAMES.length, 0);
  const names = NAMES.map((name) => Buffer.from(`icudt78l/${name}\0`));
  const nameBytes = Buffer.concat(names);
  let name = table.length;
  NAMES.forEach((_, index) => {
    table.writeUInt32LE(name, 4 + index * 8);
    table.writeUInt32LE(table.length + nameBytes.length + index * 64, 8 + index * 8);
    name += names[index]?.length ?? 0;
  });
  const bytes = Buffer.concat([header, table, nameBytes, Buffer.alloc(NAMES.length * 64, 0xee)]);
  change(bytes);
  return bytes;
}

/** Where the table of contents begins in it. */
const TABLE = 32;

function inScratch(work: (file: string) => void): void {
  const scratch = mkdtempSync(`${tmpdir()}/slipway-icu-`);
  try {
    work(`${scratch}/file`);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

test("ICU's package is found wherever it lies, each item with its place", () => {
  const data = findIcuData(Buffer.concat([Buffer.alloc(4096, 1), icuPackage(), Buffer.from("CmnD")]));
  assert.is(data?.start, 4096);
  assert.equal(
    data?.items.map((item) => [item.name, item.end - item.start]),
    NAMES.slice(0, -1).map((name) => [name, 64]),
  );
  assert.is(data?.items.at(-1)?.end, data?.end);
});

test("what is not as the format says is no package", () => {
  const spoil: Record<string, (bytes: Buffer) => void> = {
    "no magic": (bytes) => bytes.set([0xda, 0x28], 2),
    "big endian": (bytes) => bytes.set([1], 8),
    "another version of the format": (bytes) => bytes.set([2], 16),
    "a header that ends before its information": (bytes) => bytes.writeUInt16LE(8, 0),
    "more items than bytes": (bytes) => bytes.writeUInt32LE(90_000, TABLE),
    "one item": (bytes) => bytes.writeUInt32LE(1, TABLE),
    "a name behind the end": (bytes) => bytes.writeUInt32LE(1 << 30, TABLE + 4),
    "a name of something else": (bytes) => bytes.writeUInt32LE(0, TABLE + 4),
    "an item behind the end": (bytes) => bytes.writeUInt32LE(1 << 30, TABLE + 8),
    "items in another order": (bytes) => bytes.writeUInt32LE(bytes.readUInt32LE(TABLE + 8 + 16), TABLE + 8),
    "an item within the table": (bytes) => bytes.writeUInt32LE(8, TABLE + 8),
  };
  for (const [what, change] of Object.entries(spoil)) assert.is(findIcuData(icuPackage(change)), null, what);
  for (let length = 0; length < 32 + 4 + 8 * NAMES.length; length++) {
    assert.is(findIcuData(icuPackage().subarray(0, length)), null, `cut after ${length} bytes`);
  }
  assert.is(findIcuData(Buffer.concat([icuPackage(), icuPackage()])), null, "two of them");
});

test("other languages, dictionaries and lists of languages are foreign; characters, breaks, pools, zones and English are not", () => {
  for (const name of [
    "de.res",
    "de_AT.res",
    "zh_Hant.res",
    "coll/zh.res",
    "sr_Latn_BA.res",
    "coll/de_.res",
    "brkitr/cjdict.dict",
  ]) {
    assert.ok(isForeignItem(name), name);
  }
  const kept = ["root.res", "pool.res", "en.res", "en_GB.res", "curr/en_US_POSIX.res", "und.res", "units.res"];
  for (const name of [...kept, "nfc.nrm", "uts46.nrm", "uemoji.icu", "brkitr/word.brk", "zoneinfo64.res", "coll/ucadata.icu"]) {
    assert.not.ok(isForeignItem(name), name);
  }
});

test("trimming writes zeros over foreign items alone; what it does not know stays as it is, and is said", () => {
  inScratch((file) => {
    const before = Buffer.concat([Buffer.alloc(100, 7), icuPackage(), Buffer.alloc(100, 7)]);
    writeFileSync(file, before);
    assert.match(trimIcuData(file), /^128 bytes of ICU data/);
    const after = readFileSync(file);
    assert.is(after.length, before.length);
    for (const { name, start, end } of findIcuData(before)?.items ?? []) {
      const wanted = isForeignItem(name) ? Buffer.alloc(end - start) : before.subarray(start, end);
      assert.ok(after.subarray(start, end).equals(wanted), name);
    }
    assert.ok(after.subarray(-164).equals(before.subarray(-164)), "the last item's size is not known: it stays");
    const odd = Buffer.concat([Buffer.alloc(100, 7), icuPackage((bytes) => bytes.set([2], 16))]);
    writeFileSync(file, odd);
    assert.match(trimIcuData(file), /no known format: left as they are/);
    assert.ok(readFileSync(file).equals(odd));
  });
});

/** Prints what a program gets from ICU; the second part depends on languages other than English. */
const probe = `
const bytes = new Uint8Array([0xc4, 0xe3]);
const sorted = (language) => ["z", "ä", "a"].sort(new Intl.Collator(language).compare).join("");
const words = (language, text) => [...new Intl.Segmenter(language, { granularity: "word" }).segment(text)].map((part) => part.segment);
const day = (language) => new Intl.DateTimeFormat(language, { timeZone: "UTC", dateStyle: "full" }).format(0);
const same = [
  day("en"), new Date(0).toLocaleString("en", { timeZone: "Europe/Berlin" }), (1234567.5).toLocaleString("en"),
  ["ä", "z", "a", "Z"].sort((left, right) => left.localeCompare(right)), "é".normalize("NFD").length, "ﬁ①".normalize("NFKC"),
  new URL("http://bücher.example/").host, new URL("http://BÜCHER.Straße.example/").host, new URL("http://مثال.إختبار/").host,
  "Iİ".toLocaleLowerCase("tr"), "iı".toLocaleUpperCase("tr"), "ß".toUpperCase(), "aé中_1".match(/\\p{L}/gu),
  /\\p{Script=Greek}/u.test("α"), /ſ/iu.test("S"), /^\\p{RGI_Emoji}$/v.test("👨‍👩‍👧"), words("en", "two words."),
  [...new Intl.Segmenter("en").segment("👨‍👩‍👧é")].length, new Intl.DisplayNames("en", { type: "region" }).of("DE"),
  new Intl.Locale("zh-TW").maximize().toString(), new Intl.PluralRules("en").select(1), Intl.supportedValuesOf("timeZone").length,
  ["latin1", "utf-16le", "shift_jis", "gbk", "euc-kr", "big5", "koi8-r"].map((name) => new TextDecoder(name).decode(bytes)),
];
const foreign = [
  day("de"), (1234567.5).toLocaleString("fr"), new Intl.PluralRules("ru").select(3), new Intl.ListFormat("fr").format(["a", "b"]),
  new Intl.RelativeTimeFormat("es").format(-1, "day"), new Intl.DisplayNames("de", { type: "region" }).of("DE"), sorted("sv"),
];
const there = [words("th", "สวัสดีชาวโลก").join(""), words("zh", "中文分词测试").join("")];
console.log(JSON.stringify({ same, foreign, there }));
`;

test("the trimmed executable does with characters, hosts, encodings and English what the runtime does; other languages are English", async () => {
  const run = async (program: string): Promise<{ same: unknown; foreign: unknown; there: unknown }> =>
    JSON.parse(await runProgram("env", ["LANG=de_DE.UTF-8", "BUN_BE_BUN=1", program, "-e", probe]));
  const [plain, trimmed] = [await run(process.execPath), await run(`${dist}/slipway`)];
  assert.equal(trimmed.same, plain.same);
  assert.equal(trimmed.there, ["สวัสดีชาวโลก", "中文分词测试"]);
  assert.equal(trimmed.foreign, ["Thursday, January 1, 1970", "1,234,567.5", "other", "a and b", "1 day ago", "Germany", "aäz"]);
  assert.not.equal(plain.foreign, trimmed.foreign);
});

test.run();
