import { z } from "zod";
import { map, numberOr, oneOf, size, text } from "./words.ts";

const principal = (what: string) =>
  numberOr(/^[A-Za-z_][A-Za-z0-9_.-]*\$?$/, 0, 0xff_ff_ff_fe, `must be the name or number of a ${what}`);

const operatorSchema = map({
  path: text("an absolute path")
    .regex(/^\//, { error: "must be an absolute path" })
    .describe("What may be written: an absolute path in the image."),
  state: oneOf(["ephemeral", "persistent", "shared", "identity"]).describe(
    "How long a write is kept: ephemeral until reboot, persistent with the slot (reverts at a rollback), shared with the machine, identity for ever.",
  ),
  via: oneOf(["overlay", "bind", "tmpfs"]).optional().describe("How it is done. Derived from state and path if absent."),
  seed: oneOf(["image", "none"]).optional().describe("What a new store starts with: what the image has there, or nothing."),
  mode: z
    .string({ error: 'must be quoted octal digits such as "0755"' })
    .regex(/^[0-7]{3,4}$/, { error: 'must be quoted octal digits such as "0755"' })
    .optional()
    .describe('Permission bits of the directory or file, quoted: "0755". The image\'s if absent.'),
  owner: principal("user").optional().describe("User in the image's /etc/passwd, or a number."),
  group: principal("group").optional().describe("Group in the image's /etc/group, or a number."),
  size: size.optional().describe("Limit of a tmpfs: 64M. Half of the memory if absent."),
  "on-failure": oneOf(["required", "degraded"])
    .optional()
    .describe("required: the slot fails. degraded: memory instead, and a trial cannot be committed."),
  generate: oneOf(["machine-id"]).optional().describe("Made once on the device where the store has no such file."),
  reason: text("a sentence").optional().describe("Why a rollback must not revert it. Needed for shared."),
  id: text("a name").optional().describe("Name of the store, kept when the path changes. The systemd-escaped path if absent."),
});

/** A package's fragment, usr/share/slipway/state.d/*.yaml. The editor's JSON Schema and the messages come from here. */
export const fragmentSchema = map({
  package: text("the package's name")
    .regex(/^[A-Za-z0-9][A-Za-z0-9.+_-]*$/, { error: "must be a package name: letters, digits, . + _ -" })
    .describe("The package that ships this file."),
  operators: z.array(operatorSchema, { error: "must be a list of operators" }).describe("The paths that the package writes."),
});

export type FragmentOperator = z.infer<typeof operatorSchema>;
export type Fragment = z.infer<typeof fragmentSchema>;
