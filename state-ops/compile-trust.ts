import type { ControlTrust } from "./control.ts";
import { problemAt } from "./problems.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";

/** What is in the PEM file that `keys:` names: an Ed25519 public key as 64 hex digits, or what is wrong, naming the file. */
export type ReadKey = (file: string) => { key: string } | { fault: string };

interface CompiledTrust {
  trust: ControlTrust;
  problems: Problem[];
  warnings: Problem[];
}

/** What `trust:` says, with every default filled in. */
export function compileTrust(said: SystemDefinition["trust"], document: SourceDocument, readKey: ReadKey): CompiledTrust {
  if (said === undefined) {
    const text = 'no "trust": images are not proven before they run; say "trust: unsigned" if that is meant';
    return { trust: { mode: "unsigned" }, problems: [], warnings: [problemAt(document, [], text)] };
  }
  if (said === "unsigned") return { trust: { mode: "unsigned" }, problems: [], warnings: [] };
  const problems: Problem[] = [];
  const files = new Map<string, string>();
  for (const [index, file] of said.keys.entries()) {
    const read = readKey(file);
    const twin = "key" in read ? files.get(read.key) : undefined;
    const fault = "fault" in read ? read.fault : twin && `${file} is the same key as ${twin}; name each key once`;
    if (fault !== undefined) problems.push(problemAt(document, ["trust", "keys", index], fault));
    if ("key" in read) files.set(read.key, file);
  }
  const threshold = said.threshold ?? 1;
  if (threshold > said.keys.length) {
    const text = `"threshold" is ${threshold}, more than the keys there are (${said.keys.length}); no image could have enough signatures`;
    problems.push(problemAt(document, ["trust", "threshold"], text));
  }
  const rollbackFloor = said["rollback-floor"] ?? 0;
  const kernelSignature = said["kernel-signature"] ?? "ignored";
  return {
    trust: { mode: "signed", keys: [...files.keys()], threshold, rollbackFloor, kernelSignature },
    problems,
    warnings: [],
  };
}
