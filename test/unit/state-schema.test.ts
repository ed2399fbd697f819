import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { jsonSchemaFiles } from "../../state-ops/schema/json-schema.ts";
import { parseDuration, parseSize } from "../../state-ops/schema/words.ts";

const directory = join(import.meta.dirname, "../../state-ops/schema");

for (const [name, text] of Object.entries(jsonSchemaFiles())) {
  test(`${name} is what the schema says (SLIPWAY_UPDATE=1 writes it anew)`, () => {
    if (process.env.SLIPWAY_UPDATE === "1") {
      writeFileSync(join(directory, name), text);
    }
    assert.is(readFileSync(join(directory, name), "utf8"), text);
  });
}

for (const [name, text] of Object.entries(jsonSchemaFiles())) {
  test(`${name} describes each key, and refuses others`, () => {
    const seen: string[] = [];
    walk(JSON.parse(text), "", (where, schema) => {
      const properties = keyOf(schema, "properties");
      if (typeof properties !== "object" || properties === null) return;
      assert.is(keyOf(schema, "additionalProperties"), false, where);
      for (const [key, value] of Object.entries(properties)) {
        seen.push(key);
        assert.match(String(keyOf(value, "description")), /^\S.{15,}\.$|^\S.*: \S+$/, `${where}.${key}`);
      }
    });
    assert.ok(seen.length > 10, seen.join());
  });
}

function walk(value: unknown, where: string, visit: (where: string, schema: object) => void): void {
  if (typeof value !== "object" || value === null) return;
  visit(where, value);
  for (const [key, inner] of Object.entries(value)) walk(inner, `${where}.${key}`, visit);
}

function keyOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? new Map(Object.entries(value)).get(key) : undefined;
}

test("times are seconds", () => {
  const rows: [string | number, number][] = [
    [90, 90],
    ["90", 90],
    ["30s", 30],
    ["30sec", 30],
    ["10min", 600],
    ["2h", 7200],
  ];
  for (const [written, seconds] of rows) {
    assert.is(parseDuration(written), seconds);
  }
});

test("sizes are bytes, in powers of 1024", () => {
  const rows: [string | number, number][] = [
    [8192, 8192],
    ["4K", 4096],
    ["64M", 67_108_864],
    ["64MiB", 67_108_864],
    ["2G", 2_147_483_648],
  ];
  for (const [written, bytes] of rows) {
    assert.is(parseSize(written), bytes);
  }
});

test.run();
