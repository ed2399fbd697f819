import { BadInput } from "../../state-ops/outcome.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { SourceOptions } from "../network/options.ts";
import { FileSource, openToRead } from "./file-source.ts";
import { type ImageSource, SourceError } from "./source.ts";

/** What opening a source may need beside its name. */
export interface OpenSourceOptions {
  kernel: Kernel;
  /** For sources over the network. */
  network: SourceOptions;
}

/**
 * The image that `text` names: `http:` or `https:` URL, `file:` URL, path of a file or of a device, or of a directory with one
 * image in it. This is the place where further kinds of sources are told apart. Throws BadInput for a text that names none,
 * SourceError for one that is not there.
 */
export async function openSource(text: string, options: OpenSourceOptions): Promise<ImageSource> {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase() ?? null;
  if (scheme === "http" || scheme === "https") {
    const { openHttpSource } = await import("../network/http-source.ts");
    return openHttpSource(text, options.network);
  }
  if (scheme !== null && scheme !== "file") {
    throw new BadInput(`${text}: a source is an https:, http: or file: URL, or a path; write ./${text} for a file of that name`);
  }
  return openLocal(options.kernel, text, scheme === null ? text : fileOf(text));
}

/** The path of a `file:` URL. */
function fileOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.host !== "" && url.host !== "localhost") || url.search !== "" || url.hash !== "") {
    throw new BadInput(`${text} is no file: URL of this machine; write file:///path, or the path alone`);
  }
  try {
    return decodeURIComponent(url.pathname);
  } catch {
    throw new BadInput(`${text} has a percent sign that encodes nothing; write the path alone`);
  }
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
