import { z } from "zod";
import { map, numberOr, oneOf, size, text } from "./words.ts";

const principal = (what: string) =>
  numberOr(/^[A-Za-z_][A-Za-z0-9_.-]*\$?$/, 0, 0xff_ff_ff_fe, `must be the name or number of a ${what}`);

const packageName = text("the package's name").regex(/^[A-Za-z0-9][A-Za-z0-9.+_-]*$/, {
  error: "must be a package name: letters, digits, . + _ -",
});

const flags = ["nodev", "dev", "nosuid", "suid", "noexec", "exec", "nosymfollow", "symfollow"] as const;

const seed = z.union([z.enum(["image", "none"]), map({ literal: z.string().describe("The file's whole text.") })], {
  error: 'must be image or none or { literal: "text" }',
});

const operatorSchema = map({
  path: text("an absolute path")
    .regex(/^\//, { error: "must be an absolute path" })
    .describe("What may be written: an absolute path in the image. A directory, or a file where the image has one."),
  state: oneOf(["ephemeral", "persistent", "shared", "identity"])
    .optional()
    .describe(
      "How long a write is kept: ephemeral until reboot, persistent with the slot (reverts at a rollback), shared with the machine, identity for ever. Left away only with via: mask or readonly.",
    ),
  via: oneOf(["overlay", "bind", "tmpfs", "symlink", "mask", "readonly"])
    .optional()
    .describe(
      "How it is done: overlay over the image's directory, bind of a store, tmpfs in memory, symlink to target; mask hides the path, readonly makes a hole in an operator that can be written. Derived from state and path if absent.",
    ),
  seed: seed.optional().describe("What a new store starts with: what the image has there, nothing, or a text (files only)."),
  mode: z
    .string({ error: 'must be quoted octal digits such as "0755"' })
    .regex(/^[0-7]{3,4}$/, { error: 'must be quoted octal digits such as "0755"' })
    .optional()
    .describe('Permission bits of the directory or file, quoted: "0755". The image\'s if absent.'),
  owner: principal("user").optional().describe("User in the image's /etc/passwd, or a number."),
  group: principal("group").optional().describe("Group in the image's /etc/group, or a number."),
  context: text("a SELinux label").optional().describe("SELinux label of the directory or file: user:role:type[:level]."),
  flags: z
    .array(oneOf(flags), { error: "must be a list of mount flags such as [noexec]" })
    .optional()
    .describe("Flags of the mount. nodev and nosuid hold unless dev or suid is said."),
  size: size.optional().describe("Limit of what is in memory: 64M. Half of the memory if absent."),
  inodes: z
    .int({ error: "must be a whole number from 2 on" })
    .min(2, { error: "must be a whole number from 2 on" })
    .optional()
    .describe("Limit of files in memory. The kernel's if absent."),
  target: text("an absolute path").optional().describe("What via: symlink points to: an absolute path."),
  merge: oneOf(["local", "image", "keyed", "fail"])
    .optional()
    .describe(
      "Who wins where the image and the device both changed a path: local (the default), image, keyed (local, and passwd, group, shadow, gshadow, subuid, subgid by name), fail (the slot is not booted).",
    ),
  "on-failure": oneOf(["required", "degraded"])
    .optional()
    .describe("required: the slot fails. degraded: memory instead, and a trial cannot be committed."),
  cache: z
    .boolean({ error: "must be true or false" })
    .optional()
    .describe("true: kept, but not cloned; a new generation begins with what seed says."),
  exclude: z
    .array(text("a glob"), { error: "must be a list of globs" })
    .optional()
    .describe("Paths in the store that are not cloned: * within a name, ** for whole names, ? for a character."),
  generate: oneOf(["machine-id", "uuid", "random"])
    .optional()
    .describe("Made once on the device where the store has no such file: a machine id, a UUID, or 64 random hex digits."),
  reason: text("a sentence").optional().describe("Why a rollback must not revert it. Needed for shared."),
  id: text("a name").optional().describe("Name of the store, kept when the path changes. The systemd-escaped path if absent."),
  "renamed-from": text("a name").optional().describe("The id that the store had in earlier images."),
  override: packageName.optional().describe("The package whose operator on the same path this one replaces."),
});

/** A package's fragment, usr/share/slipway/state.d/*.yaml. The editor's JSON Schema and the messages come from here. */
export const fragmentSchema = map({
  package: packageName.describe("The package that ships this file."),
  operators: z.array(operatorSchema, { error: "must be a list of operators" }).describe("The paths that the package writes."),
});

/** The same with null for each operator that is none, whatever other keys are there. */
export const fragmentInPartSchema = z.object({ package: packageName, operators: z.array(operatorSchema.nullable().catch(null)) });

export type FragmentInPart = z.infer<typeof fragmentInPartSchema>;
export type FragmentOperator = z.infer<typeof operatorSchema>;
