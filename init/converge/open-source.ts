import type { NamedRelease } from "../../boot/channel/channel.ts";
import { shown } from "../../boot/network/source-url.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { besideChannel, channelPlace, isChannelUrl } from "../channel/place.ts";
import { readChannelFile, requireChannelFile } from "../channel/read-channel.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { SourceOptions } from "../network/options.ts";
import { FileSource, openToRead } from "./file-source.ts";
import { localPath } from "./local-path.ts";
import { NamedSource } from "./named-source.ts";
import { type ImageSource, SourceError } from "./source.ts";

/** What opening a source may need beside its name. */
export interface OpenSourceOptions {
  kernel: Kernel;
  /** For sources over the network. */
  network: SourceOptions;
  /** Takes what is to be known while a source over the network is read: "… was cut off; trying again in 2 s". */
  told?: (line: string) => void;
  /**
   * Chooses a release by the file of a channel, which nobody has judged yet; `name` is the channel's source. Left out where only
   * an image will do.
   */
  choose?: (name: string, file: Uint8Array) => Promise<NamedRelease>;
  /** Whether it has to be a channel: what is none is no image then either. */
  mustBeChannel?: boolean;
}

/**
 * The image that `text` names: `http:` or `https:` URL, `file:` URL, path of a file or of a device, or of a directory with one
 * image in it; or the URL or directory of a channel, of which it is the release that `choose` chooses. A URL is a channel's where
 * its last part has no dot, or is channel.json (isChannelUrl). Throws BadInput for a text that names none, SourceError for one that is not
 * there, and what `choose` throws.
 */
export async function openSource(text: string, options: OpenSourceOptions): Promise<ImageSource> {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase() ?? null;
  const url = scheme === "http" || scheme === "https";
  if (!url && scheme !== null && scheme !== "file") {
    throw new BadInput(
      `${shown(text)}: a source is an https:, http: or file: URL, or a path; write ./ before a file of that name`,
    );
  }
  const named = await openNamed(text, options);
  if (named !== null) return named;
  return url ? openUrl(text, options) : openLocal(options.kernel, text, localPath(text));
}

/** The image that the channel at `text` names; null where it is no channel. */
async function openNamed(text: string, options: OpenSourceOptions): Promise<ImageSource | null> {
  const { kernel, network, told = () => {}, choose, mustBeChannel = false } = options;
  if (choose === undefined) return null;
  const place = channelPlace(text);
  const isUrl = place.is === "url";
  const required = isUrl ? isChannelUrl(text) : mustBeChannel;
  if (isUrl && !required) {
    if (!mustBeChannel) return null;
    throw new BadInput(`${place.name} is the URL of an image, and a channel is meant; a channel's ends with a slash`);
  }
  const file = await (required ? requireChannelFile : readChannelFile)(kernel, place, network, { told });
  if (file === null) return null;
  const named = await choose(place.name, file);
  const image = besideChannel(place, named.release.image);
  const inner = isUrl ? await openUrl(image, options) : openLocal(kernel, image, image);
  return new NamedSource(inner, named);
}

async function openUrl(url: string, { kernel, network, told = () => {} }: OpenSourceOptions): Promise<ImageSource> {
  const { openHttpSource } = await import("../network/http-source.ts");
  return openHttpSource(url, network, { kernel, told });
}

function openLocal(kernel: Kernel, name: string, path: string): ImageSource {
  const fd = openToRead(kernel, path);
  const { kind } = kernel.status(fd);
  if (kind === "file" || kind === "block") return FileSource.of(kernel, name, fd);
  try {
    if (kind !== "directory")
      throw new BadInput(`${name} is a ${kind}; a source is a file, a device, or a directory with an image`);
    return openLocal(
      kernel,
      `${name.replace(/\/$/, "")}/${onlyImage(kernel, name, path)}`,
      `${path}/${onlyImage(kernel, name, path)}`,
    );
  } finally {
    kernel.close(fd);
  }
}

/** The name of the one file in a directory that is a sealed image. */
function onlyImage(kernel: Kernel, name: string, path: string): string {
  const directory = openToRead(kernel, path);
  try {
    const files = kernel.readDirectory(directory).filter(({ kind }) => kind === "file");
    const images = files.map((entry) => Buffer.from(entry.name).toString()).filter((file) => isImage(kernel, `${path}/${file}`));
    const [image] = images;
    if (image === undefined) throw new SourceError(`${name} holds no sealed image; give the path of one`);
    if (images.length > 1)
      throw new BadInput(`${name} holds ${images.length} images: ${images.join(", ")}; give the path of one`);
    return image;
  } finally {
    kernel.close(directory);
  }
}

function isImage(kernel: Kernel, path: string): boolean {
  try {
    const fd = kernel.open(path, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    try {
      const reading = readSeal(kernel, fd, sizeOf(kernel, fd));
      return reading.is === "sealed" && reading.by === "footer";
    } finally {
      kernel.close(fd);
    }
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}
