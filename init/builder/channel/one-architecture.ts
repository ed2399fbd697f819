import { join } from "node:path";
import type { Channel } from "../../../boot/channel/channel.ts";
import { neededArchitecture } from "../../../boot/image/seal.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { withImage } from "../image/open-image.ts";
import { isThere } from "./directory.ts";
import type { OfferedImage } from "./images.ts";

/**
 * A machine asks for the newest release, and cannot take it where it is for another architecture: all those below would never
 * reach it. Images that do not say theirs are not judged, nor what the directory has damaged. Throws BadInput.
 */
export async function refuseTwoArchitectures(
  kernel: Kernel,
  directory: string,
  { releases }: Channel,
  given: readonly OfferedImage[],
): Promise<void> {
  let first: { version: string; architecture: string } | null = null;
  for (const release of releases) {
    const { version, image } = release;
    const manifest = given.find((offered) => offered.release.version === version)?.manifest;
    if (manifest === undefined && !isThere(directory, release)) continue;
    const needs = manifest?.needs ?? (await needsIn(kernel, join(directory, image)));
    const architecture = needs === null ? null : neededArchitecture(needs);
    if (architecture === null) continue;
    first ??= { version, architecture };
    if (architecture === first.architecture) continue;
    throw new BadInput(
      `${first.version} is for ${first.architecture}, ${version} for ${architecture}; give each architecture a channel of its own`,
    );
  }
}

/** What an image of the directory needs; null where its seal cannot be read. */
async function needsIn(kernel: Kernel, path: string) {
  try {
    return await withImage(kernel, path, ({ seal }) => seal.manifest.needs);
  } catch {
    return null;
  }
}
