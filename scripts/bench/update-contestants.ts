/** Ways to bring a slot from one image to the next, from the same server. */
import { mkdirSync } from "node:fs";
import { runProgram } from "../../qemu/program.ts";
import { HostRauc } from "./rauc.ts";
import { slipwayInstall } from "./update-slipway.ts";
import type { UpdateWorld } from "./update-world.ts";

export interface Contestant {
  name: string;
  /** What it is and what it leaves out, for the table's notes. */
  note: string;
  /** Where its source lies. Default "server". */
  from?: "server" | "file";
  /** The slot that runs holds the older image, for those that can use it. Default true. */
  older?: boolean;
  /** Puts what it needs below the server's directory. */
  publish?(world: UpdateWorld): Promise<void>;
  /** What a machine has at hand before an update begins. */
  prepare?(world: UpdateWorld): Promise<void>;
  /** What is timed. */
  install(world: UpdateWorld): Promise<void>;
  close?(): Promise<void>;
}

/** The whole image, and what all others are compared with. */
export const wholeImage = "curl | dd";
/** What rates are compared with. */
export const hashing = "dd | tee SLOT | sha256sum";
export const ownDelta = "slipway install";

/** The newer image below the server's address. A channel's URL has no dot in its last part. */
export const served = "newer.img";

/** A pipe that fails where any of its programs does. */
function pipe(script: string, ...words: string[]): Promise<string> {
  return runProgram("bash", ["-e", "-o", "pipefail", "-c", script, "bash", ...words]);
}

export function contestants(): Contestant[] {
  const rauc = new HostRauc();
  return [
    {
      name: ownDelta,
      note: "signed; each block checked before it is written, the slot read back in the end",
      install: (world) => slipwayInstall(world, `${world.url}/${served}`),
    },
    {
      name: wholeImage,
      note: "the whole image, nothing checked",
      install: async ({ url, target }) => {
        const script = 'curl --silent --show-error --fail "$1" | dd of="$2" bs=1M conv=fsync status=none';
        await pipe(script, `${url}/${served}`, target.device);
      },
    },
    {
      name: "casync extract",
      note: "default chunks and compression, the running slot as its seed; no signature",
      publish: async ({ www, pair }) => {
        mkdirSync(`${www}/casync`);
        const store = `--store=${www}/casync/default.castr`;
        await runProgram("casync", ["make", store, `${www}/casync/newer.caibx`, pair.newer]);
      },
      install: async ({ url, running, target }) => {
        const words = [`--store=${url}/casync/default.castr`, `--seed=${running.device}`];
        await runProgram("casync", ["extract", ...words, `${url}/casync/newer.caibx`, target.device]);
      },
    },
    {
      name: "rauc install",
      note: "a signed bundle in plain format, its squashfs downloaded whole: Debian's rauc is built without streaming, so that verity bundles and their adaptive updates fetch as much",
      publish: (world) => rauc.bundle(world),
      prepare: (world) => rauc.start(world),
      install: ({ url }) => rauc.install(`${url}/rauc/bundle.raucb`),
    },
    {
      name: "rauc install, casync bundle",
      note: "the same bundle after rauc convert: chunks by casync, the running slot as its seed",
      publish: (world) => rauc.convert(world),
      prepare: (world) => rauc.start(world),
      install: ({ url }) => rauc.install(`${url}/rauc/casync.raucb`),
      close: () => rauc.stop(),
    },
    {
      name: "slipway install, nothing to reuse",
      note: "the same over a running slot without a sealed image",
      older: false,
      install: (world) => slipwayInstall(world, `${world.url}/${served}`),
    },
    {
      name: "slipway install, from a file, nothing to reuse",
      note: "the same without the network",
      from: "file",
      older: false,
      install: (world) => slipwayInstall(world, `file:${world.pair.newer}`),
    },
    {
      name: hashing,
      note: "one read, one hash and one write of the whole image",
      from: "file",
      install: async ({ pair, target }) => {
        await pipe('dd if="$1" bs=1M status=none | tee "$2" | sha256sum', pair.newer, target.device);
      },
    },
  ];
}
