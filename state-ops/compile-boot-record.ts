import { bootRecordFaults } from "./boot-record-rules.ts";
import type { ControlBootRecord, ControlFile } from "./control.ts";
import { parseFwEnvConfig } from "./fw-env-config.ts";
import { problemAt } from "./problems.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";

/** The text of a file that system.yaml names, or what is wrong, naming the file. */
export type ReadText = (file: string) => { text: string } | { fault: string };

type Declared = SystemDefinition["boot-record"];

/** Which map of `boot-record:` says more of which store. */
const mapOf = { record: null, grubenv: "grubenv", "uboot-env": "uboot-env", gpt: "gpt", bls: "bls", tryboot: "tryboot" } as const;

/** Where the running system has a bootloader's files, unless `mount:` says so. */
const USUAL_MOUNT = "/boot";

/** What `boot-record:` says. Null where it does not say enough, with the problems. */
export function compileBootRecord(
  declared: Declared,
  document: SourceDocument,
  readText: ReadText,
): { bootRecord: ControlBootRecord | null; problems: Problem[] } {
  const own = mapOf[declared.store];
  const strangers = (["grubenv", "uboot-env", "gpt", "bls", "tryboot"] as const).filter(
    (key) => key !== own && declared[key] !== undefined,
  );
  const problems = strangers.map((key) => {
    const text = `"${key}" is of "store: ${key}", and the store is ${declared.store}; leave it out, or say that store`;
    return problemAt(document, ["boot-record", key], text, "key");
  });
  if (own !== null && declared[own] === undefined) {
    problems.push(problemAt(document, ["boot-record", "store"], `"store: ${own}" needs "${own}:" beside it, which is missing`));
  }
  if (problems.length > 0) return { bootRecord: null, problems };
  const store = storeOf(declared, document, readText, problems);
  return { bootRecord: store === null ? null : { device: declared.device ?? null, ...store }, problems };
}

type Store = ControlBootRecord extends infer Each ? (Each extends ControlBootRecord ? Omit<Each, "device"> : never) : never;

function storeOf(declared: Declared, document: SourceDocument, readText: ReadText, problems: Problem[]): Store | null {
  const { store, grubenv, gpt, bls, tryboot } = declared;
  if (store === "record") return { store };
  if (store === "grubenv" && grubenv !== undefined) return { store, grubenv };
  if (store === "gpt" && gpt !== undefined) return { store, dialect: gpt.dialect };
  if (store === "bls" && bls !== undefined) return { store, bls };
  if (store === "tryboot" && tryboot !== undefined) return { store, tryboot };
  const environment = declared["uboot-env"];
  if (store !== "uboot-env" || environment === undefined) return null;
  const { config, device, mount, dialect } = environment;
  const read = readText(config);
  if ("fault" in read) {
    problems.push(problemAt(document, ["boot-record", "uboot-env", "config"], read.fault));
    return null;
  }
  const filesystem = device === undefined ? null : { device, mountedAt: mount ?? USUAL_MOUNT };
  const { copies, problems: wrong } = parseFwEnvConfig(read.text, config, filesystem);
  problems.push(...wrong);
  if (wrong.length > 0) return null;
  // As every other path in a filesystem: from its root, without the slash.
  const relative = copies.map((copy) => ("file" in copy ? { ...copy, file: copy.file.replace(/^\/+/, "") } : copy));
  return { store, environment: { copies: relative, dialect } };
}

/** What is wrong with boot record, store and slots together. */
export function bootRecordProblems(
  system: Pick<ControlFile, "slots" | "data" | "bootRecord">,
  document: SourceDocument,
): Problem[] {
  return bootRecordFaults(system).map(({ at, text }) => problemAt(document, at, text));
}
