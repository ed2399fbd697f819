/** The network's profile beside the boot record, for PID 1 and the commands alike. */
import type { NetworkProfile } from "../../boot/network/profile.ts";
import { encodeProfile, type ProfileReading, readProfile } from "../../boot/record/profile-store.ts";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Written } from "./boot-record.ts";
import { openRecordDevice, type RecordDevice } from "./record-device.ts";

const { profileOffsets, profileSize } = RECORD_LAYOUT;

/** What is kept on the partition at `path`; what cannot be read is none, with the reason. Refusal for one that is too small. */
export function readNetworkProfile(kernel: Kernel, path: string): Pick<ProfileReading, "profile" | "reason"> {
  try {
    const { profile, reason } = withDevice(kernel, path, "look", (device) => readCopies(kernel, device));
    return { profile, reason };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { profile: null, reason: `reading it from ${path} failed (${error.code})` };
  }
}

/** Keeps `profile`, past all caches, unless it is what is kept already. On failure the former one is still there. */
export function writeNetworkProfile(kernel: Kernel, path: string, profile: NetworkProfile): Written & { changed: boolean } {
  try {
    return withDevice(kernel, path, "write", (device) => {
      const { profile: kept, sequence, nextCopy } = readCopies(kernel, device);
      const bytes = encodeProfile(profile, sequence + 1);
      if (kept !== null && Buffer.compare(encodeProfile(kept, sequence + 1), bytes) === 0)
        return { written: true, changed: false };
      if (device.readOnly !== null) return { written: false, reason: device.readOnly, changed: false };
      kernel.write(device.fd, bytes, BigInt(profileOffsets[nextCopy]));
      return { written: true, changed: true };
    });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { written: false, reason: `writing it to ${path} failed (${error.code})`, changed: false };
  }
}

function readCopies(kernel: Kernel, device: RecordDevice): ProfileReading {
  const read = (offset: number) => kernel.read(device.fd, profileSize, BigInt(offset));
  return readProfile([read(profileOffsets[0]), read(profileOffsets[1])]);
}

function withDevice<Result>(
  kernel: Kernel,
  path: string,
  purpose: "look" | "write",
  use: (device: RecordDevice) => Result,
): Result {
  const device = openRecordDevice(kernel, path, purpose);
  try {
    return use(device);
  } finally {
    kernel.close(device.fd);
  }
}
