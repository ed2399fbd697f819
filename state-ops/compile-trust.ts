import type { ControlTrust, TrustedCertificate } from "./control.ts";
import { problemAt } from "./problems.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";

/** What is in the PEM file that `keys:` names: an Ed25519 public key as 64 hex digits, or what is wrong, naming the file. */
export type ReadKey = (file: string) => { key: string } | { fault: string };

/** What is in the PEM file that `certificates:` names, or what is wrong, naming the file. */
export type ReadCertificate = (file: string) => { certificate: TrustedCertificate } | { fault: string };

interface CompiledTrust {
  trust: ControlTrust;
  problems: Problem[];
  warnings: Problem[];
}

/** What `trust:` says, with every default filled in. */
export function compileTrust(
  said: SystemDefinition["trust"],
  document: SourceDocument,
  read: { key: ReadKey; certificate: ReadCertificate },
): CompiledTrust {
  if (said === undefined) {
    const text = 'no "trust": images are not proven before they run; say "trust: unsigned" if that is meant';
    return { trust: { mode: "unsigned" }, problems: [], warnings: [problemAt(document, [], text)] };
  }
  if (said === "unsigned") return { trust: { mode: "unsigned" }, problems: [], warnings: [] };
  const problems: Problem[] = [];
  const files = new Map<string, string>();
  const { keys = [] } = said;
  for (const [index, file] of keys.entries()) {
    const found = read.key(file);
    const twin = "key" in found ? files.get(found.key) : undefined;
    const fault = "fault" in found ? found.fault : twin && `${file} is the same key as ${twin}; name each key once`;
    if (fault !== undefined) problems.push(problemAt(document, ["trust", "keys", index], fault));
    if ("key" in found) files.set(found.key, file);
  }
  const certificates: TrustedCertificate[] = [];
  for (const [index, file] of (said.certificates ?? []).entries()) {
    const found = read.certificate(file);
    const isTwin =
      "certificate" in found && certificates.some(({ fingerprint }) => fingerprint === found.certificate.fingerprint);
    const fault = "fault" in found ? found.fault : isTwin ? `${file} is named twice; name each certificate once` : null;
    if (fault !== null) problems.push(problemAt(document, ["trust", "certificates", index], fault));
    if ("certificate" in found) certificates.push(found.certificate);
  }
  if (keys.length === 0 && certificates.length === 0) {
    problems.push(
      problemAt(document, ["trust"], '"trust" names neither keys nor certificates; name one, or say "trust: unsigned"'),
    );
  }
  const threshold = said.threshold ?? 1;
  if (threshold > Math.max(1, keys.length)) {
    const text = `"threshold" is ${threshold}, more than the keys there are (${keys.length}); no image could have enough signatures`;
    problems.push(problemAt(document, ["trust", "threshold"], text));
  }
  const warnings =
    threshold > 1 && certificates.length > 0
      ? [
          problemAt(
            document,
            ["trust", "threshold"],
            `"threshold" is ${threshold}, and holds for seals alone: a root hash is believed by the signature of one certificate`,
          ),
        ]
      : [];
  const rollbackFloor = said["rollback-floor"] ?? 0;
  const kernelSignature = said["kernel-signature"] ?? "ignored";
  return {
    trust: {
      mode: "signed",
      keys: [...files.keys()],
      threshold,
      rollbackFloor,
      kernelSignature,
      ...(certificates.length > 0 ? { certificates } : {}),
    },
    problems,
    warnings,
  };
}
