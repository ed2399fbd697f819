/** Sealed images and the keys that sign them, made by the product's own verbs. */
import { madeOf, slipway } from "./product.ts";

/** A key pair in files. */
export interface TestKeyFiles {
  /** PKCS#8 PEM. */
  privateKey: string;
  /** What `trust: { keys: […] }` names; an absolute path. */
  publicKey: string;
}

/** The key pair called `name`, made by slipway keys new. Kept like everything that is made; never part of the repository. */
export async function testKeyFiles(name: string): Promise<TestKeyFiles> {
  const directory = await madeOf("key", name, async (aside) => {
    await slipway(["keys", "new", `${aside}/${name}`]);
  });
  return { privateKey: `${directory}/${name}.pem`, publicKey: `${directory}/${name}.pub.pem` };
}

/** What an image is sealed with. */
export interface ImageSeal {
  /** Names of the keys that sign: see {@link testKeyFiles}. None: the image is sealed and unsigned. */
  keys: string[];
  /** Default: that of the image. */
  version?: string;
  /** Default: that of the image. */
  system?: string;
  rollbackIndex?: number;
  revokesBelow?: number;
}

/** What slipway image build and image seal take for `seal`. */
export async function sealWords(seal: ImageSeal & { system: string; version: string }): Promise<string[]> {
  const words = ["--system", seal.system, "--version", seal.version];
  for (const name of seal.keys) words.push("--key", (await testKeyFiles(name)).privateKey);
  if (seal.rollbackIndex !== undefined) words.push("--rollback-index", String(seal.rollbackIndex));
  if (seal.revokesBelow !== undefined) words.push("--revokes-below", String(seal.revokesBelow));
  return words;
}

/** The line of system.yaml by which machines believe images that `threshold` of the keys called `names` signed. */
export async function trustLine(names: string[], threshold = 1): Promise<string> {
  const files = await Promise.all(names.map(testKeyFiles));
  return `trust: { keys: [${files.map(({ publicKey }) => JSON.stringify(publicKey)).join(", ")}], threshold: ${threshold} }\n`;
}
