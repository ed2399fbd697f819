import { PAYLOAD_TYPE, preAuthenticationEncoding } from "../../../boot/image/envelope.ts";
import type { ImageFilesystem, Needs } from "../../../boot/image/seal.ts";
import { isSignature } from "../../../boot/image/trust.ts";
import { BLOCK } from "../../../boot/image/verity.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { flag, texts, type Verb } from "../../commands/verb.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readTrustedKeys, type TrustedKey } from "../keys/trust-option.ts";
import { type OpenImage, withImage } from "./open-image.ts";

/** What --json prints. Sizes and offsets are bytes of the whole image, also for an .idx. */
export interface Inspection {
  schema: 1;
  kind: OpenImage["kind"];
  system: string;
  version: string;
  filesystem: ImageFilesystem;
  filesystemSize: number;
  dataBlocks: number;
  rootHash: string;
  salt: string;
  /** Of the verity superblock: what veritysetup --hash-offset takes. */
  hashOffset: number;
  /** Of the hash tree, without its superblock. */
  treeSize: number;
  sealOffset: number;
  sealSize: number;
  size: number;
  rollbackIndex: number;
  revokesBelow: number | null;
  needs: Needs;
  kernelSignature: string | null;
  /** Ids of the keys that are said to have signed. */
  keys: string[];
  signatures: {
    keyId: string;
    /** Which --trust has the key; null where none has. */
    file: string | null;
    /** Whether the signature is that key's; null where the key is not known. */
    right: boolean | null;
  }[];
}

export const verb: Verb = {
  help: `Usage: slipway image inspect [--trust PUBLIC_KEY]… [--json] FILE

Says what the seal of a system image says: system, version, sizes, root hash, keys. FILE is an image, its .idx, or a device that
holds one. Nothing is proven by that: slipway image verify does.

Options:
  --trust PUBLIC_KEY   PEM of a key: says whether the signature that has its id is right; may be repeated
  --json               print one JSON object`,
  options: { trust: { type: "string", multiple: true }, json: { type: "boolean" } },
  positionals: ["FILE"],
  async run(values, [file = ""]) {
    const keys = readTrustedKeys(texts(values, "trust"));
    const found = await withImage(linuxKernel(), file, (image) => inspect(image, keys));
    if (flag(values, "json")) console.log(JSON.stringify(found));
    else console.log(describe(file, found).join("\n"));
    return 0;
  },
};

async function inspect({ kind, seal, layout, size }: OpenImage, keys: readonly TrustedKey[]): Promise<Inspection> {
  const { manifest, envelope } = seal;
  const message = preAuthenticationEncoding(PAYLOAD_TYPE.seal, envelope.payload);
  const signatures = await Promise.all(
    envelope.signatures.map(async ({ keyId, signature }) => {
      const known = keys.find(({ key }) => key.id === keyId);
      if (known === undefined) return { keyId, file: null, right: null };
      return { keyId, file: known.file, right: await isSignature(known.key, message, signature) };
    }),
  );
  const { schema, system, version, filesystem, filesystemSize, rootHash, salt, ...rest } = manifest;
  return {
    schema,
    kind,
    system,
    version,
    filesystem,
    filesystemSize,
    dataBlocks: layout.dataBlocks,
    rootHash,
    salt,
    hashOffset: layout.hashOffset,
    treeSize: layout.treeBlocks * BLOCK,
    sealOffset: layout.sealOffset,
    sealSize: seal.bytes.length,
    size,
    ...rest,
    keys: envelope.signatures.map(({ keyId }) => keyId),
    signatures,
  };
}

function describe(file: string, found: Inspection): string[] {
  const bytes = (count: number) => `${sizeText(count)} (${count} bytes)`;
  const signatures = found.signatures.map(({ keyId, file, right }) => {
    const judged = right === null ? "" : right ? `  right, ${file}` : `  WRONG: it is not that of ${file}`;
    return `signed by       ${keyId}${judged}`;
  });
  const { controlFormat, features } = found.needs;
  return [
    `${file}: ${found.system} ${found.version}${found.kind === "index" ? ", index of an image" : ""}`,
    ...[
      `filesystem      ${found.filesystem}, ${bytes(found.filesystemSize)}`,
      `root hash       ${found.rootHash}`,
      `salt            ${found.salt}`,
      `hash offset     ${found.hashOffset}`,
      `hash tree       ${bytes(found.treeSize)}`,
      `seal            ${bytes(found.sealSize)} at ${found.sealOffset}`,
      `whole image     ${bytes(found.size)}`,
      `rollback index  ${found.rollbackIndex}${found.revokesBelow === null ? "" : `, revokes those below ${found.revokesBelow}`}`,
      `needs           control file format ${controlFormat}${features.length === 0 ? "" : `, ${features.join(", ")}`}`,
      ...(found.kernelSignature === null ? [] : ["kernel          has a signature of the root hash for the kernel"]),
      ...(signatures.length === 0 ? ["unsigned"] : signatures),
    ].map((line) => `  ${line}`),
  ];
}
