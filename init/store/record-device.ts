import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** The partition or file that holds boot record and journal, open past the page cache. */
export interface RecordDevice {
  path: string;
  /** What messages call it, where that is not its path. */
  shown?: string;
  fd: Descriptor;
  /** Why it cannot be written; null when it can. */
  readOnly: string | null;
}

const READ_ONLY_CODES = new Set(["EROFS", "EACCES", "EPERM", "EIO"]);

/** Opens for writing, or for reading only where the device refuses that. */
function openEitherWay(kernel: Kernel, path: string): RecordDevice {
  try {
    return { path, fd: kernel.open(path, O.RDWR | O.DIRECT | O.DSYNC), readOnly: null };
  } catch (error) {
    if (!(error instanceof KernelError) || !READ_ONLY_CODES.has(error.code)) throw error;
    const fd = kernel.open(path, O.RDONLY | O.DIRECT);
    return { path, fd, readOnly: `${path} cannot be opened for writing (${error.code}); is the disk write-protected?` };
  }
}

function openToLook(kernel: Kernel, path: string): RecordDevice {
  return { path, fd: kernel.open(path, O.RDONLY | O.DIRECT), readOnly: `${path} was opened for reading only` };
}

/**
 * Opens the device of the boot record, for writing where possible unless only to `look`. Throws KernelError where it cannot even be read, Refusal where it is too small
 * to hold a record and a journal.
 */
export function openRecordDevice(kernel: Kernel, path: string, purpose: "write" | "look" = "write"): RecordDevice {
  const device = purpose === "look" ? openToLook(kernel, path) : openEitherWay(kernel, path);
  try {
    const size = sizeOf(kernel, device.fd);
    if (size < BigInt(RECORD_LAYOUT.minimumPartitionSize)) {
      throw new Refusal(
        `${path} has ${size} bytes, a boot record needs ${RECORD_LAYOUT.minimumPartitionSize}; is it the right partition?`,
      );
    }
    return device;
  } catch (error) {
    kernel.close(device.fd);
    throw error;
  }
}
