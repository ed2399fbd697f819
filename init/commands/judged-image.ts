import { type ImageLayout, imageSizeOf, type Seal } from "../../boot/image/seal.ts";
import { judgeEnvelope, trustOf } from "../../boot/image/trust.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { readSourceSeal } from "../converge/read-source-seal.ts";
import type { ImageSource } from "../converge/source.ts";
import type { ConvergeAnswer } from "./converge-answer.ts";
import type { Machine } from "./machine.ts";

/** An image that this machine may get, and what it is to know of it. */
export interface Judged {
  name: string;
  seal: Seal;
  layout: ImageLayout;
  imageId: string;
  warnings: string[];
}

/** The source's image, with a seal that this machine believes. */
export async function judged(machine: Machine, source: ImageSource): Promise<Judged> {
  const { seal, layout } = await readSourceSeal(source);
  const trust = trustOf(machine.control.trust);
  const verdict = await judgeEnvelope("the seal", seal.envelope, trust);
  if (!verdict.trusted) throw new Refusal(`${source.name}: ${verdict.reason}; nothing of it is used`);
  const unsigned = "this machine installs images that nobody signed: its control file says trust: unsigned";
  const { system, version, rootHash } = seal.manifest;
  const warnings = trust.mode === "unsigned" ? [unsigned] : [];
  return { name: `${system} ${version} (${source.name})`, seal, layout, imageId: rootHash, warnings };
}

/** What an answer says of the image. */
export function about({ seal, imageId }: Judged): Pick<ConvergeAnswer, "image"> {
  return { image: { version: seal.manifest.version, imageId, size: imageSizeOf(seal.manifest, seal.bytes.length) } };
}

/** The answer where the image runs. */
export function nothingToDo(image: Judged, slot: SlotName): ConvergeAnswer {
  const did = [`Slot ${slot} runs ${image.name} already.`];
  return {
    slot,
    changed: false,
    did,
    warnings: image.warnings,
    next: "nothing to do.",
    ...about(image),
    bytes: null,
    networkBytes: 0,
  };
}

/** The answer where a channel has nothing for this machine. */
export function nothingOffered(slot: SlotName, why: string): ConvergeAnswer {
  const did = [`Nothing to install: ${why}.`];
  return { slot, changed: false, did, warnings: [], next: "nothing to do.", image: null, bytes: null, networkBytes: 0 };
}
