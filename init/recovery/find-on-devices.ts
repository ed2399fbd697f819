/** Images on devices that somebody may have put something on: the factory partition, and media. */
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { foreignDevices, mountOptions } from "../../boot/recovery/media.ts";
import { deviceUnder } from "../../state-ops/slot-file.ts";
import { FileSource } from "../converge/file-source.ts";
import { SourceError } from "../converge/source.ts";
import { scanBlockDevices } from "../devices/scan.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf, withOpen } from "../kernel/files.ts";
import { KernelError } from "../kernel/kernel.ts";
import { DeviceFailure } from "../sequence/devices.ts";
import type { FoundImage } from "./found-image.ts";
import { foundImage, give, type ImageSearch } from "./image-search.ts";
import { imagesOn, type LyingImage } from "./images-in-directory.ts";
import { Medium } from "./medium.ts";
import { settleMedia } from "./settle-media.ts";

/** Filesystems that are mounted at the same time. */
const MOST_MEDIA = 16;

type Place = "factory" | "media";

/** An image, and the medium that it lies on; null where it is the device itself. */
interface Found extends LyingImage {
  medium: Medium | null;
}

/** Images on the factory partition: on the partition itself, or in a channel's directory or in files of its filesystem. */
export async function* findOnFactory(search: ImageSearch): AsyncGenerator<FoundImage> {
  const { devices, boot, signal } = search.desk;
  const { factory } = boot.control.recovery;
  if (factory === null) return;
  signal.throwIfAborted();
  let device: BlockDevice;
  try {
    device = await devices.find("the factory partition", factory);
  } catch (error) {
    if (!(error instanceof DeviceFailure)) throw error;
    search.refuse("the factory partition", error.message);
    return;
  }
  yield* findOn(search, "factory", [device]);
}

/** Images on whatever is plugged in, or lies in a drive: on the devices themselves, in channels' directories, in files. */
export async function* findOnMedia(search: ImageSearch): AsyncGenerator<FoundImage> {
  const { boot, devices } = search.desk;
  if (!boot.control.recovery.media) return;
  await settleMedia(search.desk);
  const { slots, data, bootRecord, recovery } = boot.control;
  const names = [...slots.map((slot) => deviceUnder(slot, data)), data?.device, bootRecord.device, recovery.factory];
  const references = names.flatMap((name) => (name === undefined || name === null ? [] : [parseReference(name)]));
  const scan = scanBlockDevices(boot.kernel, { superblocks: true, partuuids: references.some(({ by }) => by === "partuuid") });
  for (const note of scan.notes) boot.log.notice(note);
  yield* findOn(search, "media", foreignDevices(scan.devices, { disk: devices.ownDisk(scan.devices), references }));
}

/** The images of these devices, best first. They stay mounted as long as the search goes on in them. */
async function* findOn(search: ImageSearch, place: Place, devices: readonly BlockDevice[]): AsyncGenerator<FoundImage> {
  const media: Medium[] = [];
  try {
    const found: Found[] = [];
    for (const device of devices) found.push(...(await imagesOf(search, place, device, media)));
    for (const image of search.inOrder(found)) {
      const opened = openImage(search, place, image);
      if (opened !== null) yield* give(opened);
    }
  } finally {
    for (const medium of media) medium.release();
  }
}

async function imagesOf(search: ImageSearch, place: Place, device: BlockDevice, media: Medium[]): Promise<Found[]> {
  const { boot } = search.desk;
  search.desk.signal.throwIfAborted();
  await boot.breathe();
  try {
    const raw = await rawImage(search, device);
    if (raw !== null) return raw;
    const type = withOpen(boot.kernel, device.path, O.RDONLY | O.NONBLOCK, (fd) =>
      readSuperblock(boot.kernel.read(fd, SUPERBLOCK_BYTES, 0n)),
    )?.type;
    const options = type === undefined ? null : mountOptions(place, type);
    if (type === undefined || options === null) {
      if (place === "factory") search.refuse(device.path, `neither an image nor a filesystem that is known is on it`);
      return [];
    }
    if (media.length === MOST_MEDIA) {
      search.refuse(device.path, `${MOST_MEDIA} media are looked at already`);
      return [];
    }
    const medium = Medium.mount(boot, device, type, options);
    media.push(medium);
    const images = await imagesOn(search, medium.root, device.path);
    if (images.length === 0 && place === "factory") search.refuse(device.path, "no image that is looked for is on it");
    if (images.length > 0) search.advance();
    return images.map((image) => ({ ...image, medium }));
  } catch (error) {
    search.desk.signal.throwIfAborted();
    // An empty drive is no trouble.
    if (!(error instanceof KernelError && error.code === "ENOMEDIUM")) search.refuse(device.path, whyUnusable(error));
    return [];
  }
}

/** What a device holds that begins with an image: that image, or nothing that is taken. Null where it is no image. */
async function rawImage(search: ImageSearch, device: BlockDevice): Promise<Found[] | null> {
  const { kernel } = search.desk.boot;
  const { path } = device;
  const reading = withOpen(kernel, path, O.RDONLY | O.NONBLOCK, (fd) => readSeal(kernel, fd, sizeOf(kernel, fd)));
  if (reading.is === "unsealed") return null;
  if (reading.is === "fault") {
    search.refuse(path, `no image that could be used: ${reading.reason}`);
    return null;
  }
  const { seal, layout } = reading;
  if (!(await search.takes(seal, path))) return [];
  const { rootHash: imageId, version } = seal.manifest;
  const open = () => kernel.open(path, O.RDONLY | O.NONBLOCK);
  return [{ imageId, version, name: path, seal, layout, open, medium: null }];
}

function openImage(search: ImageSearch, place: Place, image: Found): FoundImage | null {
  const { name, seal, layout, medium } = image;
  search.advance();
  try {
    const source = FileSource.of(search.desk.boot.kernel, name, image.open());
    medium?.hold();
    return foundImage({ place, name, source, seal, layout }, () => medium?.release());
  } catch (error) {
    search.desk.signal.throwIfAborted();
    if (!(error instanceof KernelError || error instanceof SourceError)) throw error;
    search.tell(error.message);
    return null;
  }
}

function whyUnusable(error: unknown): string {
  if (!(error instanceof KernelError)) return error instanceof Error ? error.message : String(error);
  const { call, code } = error;
  if (call === "mount" && code === "ENODEV") return "the kernel does not know its filesystem; is its module in the initrd?";
  return call === "mount" ? `its filesystem cannot be mounted (${code}); is it damaged?` : `it cannot be read (${code})`;
}
