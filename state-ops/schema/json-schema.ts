import { z } from "zod";
import { fragmentSchema } from "./fragment.ts";
import { systemSchema } from "./system.ts";

/**
 * The JSON Schema files beside this one, by name, so that editors complete and check the two kinds of YAML file. Written
 * anew with SLIPWAY_UPDATE=1 and the test that compares them.
 */
export function jsonSchemaFiles(): Record<string, string> {
  return {
    "fragment.schema.json": jsonSchema(fragmentSchema, "A slipway fragment: the state that a package needs"),
    "system.schema.json": jsonSchema(systemSchema, "A slipway system definition"),
  };
}

function jsonSchema(schema: z.ZodType, title: string): string {
  const { $schema, ...rest } = z.toJSONSchema(schema, { target: "draft-2020-12", io: "input" });
  return `${print({ $schema, title, ...rest }, "")}\n`;
}

/** JSON in the layout of the repository's formatter: lists of plain values on one line where they fit. */
function print(value: unknown, indent: string): string {
  if (typeof value !== "object" || value === null) {
    return JSON.stringify(value);
  }
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const entries = value.map((entry: unknown) => print(entry, inner));
    const line = `[${entries.join(", ")}]`;
    const plain = value.every((entry) => typeof entry !== "object");
    return plain && line.length < 100 ? line : `[\n${entries.map((entry) => inner + entry).join(",\n")}\n${indent}]`;
  }
  const members = Object.entries(value).map(([key, entry]) => `${inner}${JSON.stringify(key)}: ${print(entry, inner)}`);
  return members.length === 0 ? "{}" : `{\n${members.join(",\n")}\n${indent}}`;
}
