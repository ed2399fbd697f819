/** The boot record as a file on the data filesystem, where no partition is for it. */
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import { LAYOUT } from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { exists, isCode, openBeneath, procPath, removeIfThere, withDescriptor, withDirectory } from "../state/beneath.ts";
import { noCopyOnWrite } from "../state/make-slot-file.ts";
import type { RecordDevice } from "./record-device.ts";

const BYTES = RECORD_LAYOUT.minimumPartitionSize;
const [DIRECTORY, NAME] = LAYOUT.record;
const ASIDE = `.new-${NAME}`;

/** As messages name it. */
const SHOWN = `${DIRECTORY}/${NAME} on the data filesystem`;

/**
 * Opens the record's file, past the page cache. To `write`, one that is not there is made, with all of its blocks written: writes
 * in it change nothing but its content from then on. A power cut leaves no file, or a whole one.
 *
 * @param data root of the data filesystem
 * @throws KernelError where it cannot be opened, or not made (ENOSPC); Refusal where something else is in its place
 */
export function openRecordFile(kernel: Kernel, data: Descriptor, purpose: "write" | "look"): RecordDevice {
  if (purpose === "write") makeIfMissing(kernel, data);
  const file = `${DIRECTORY}/${NAME}`;
  const opened =
    purpose === "look" ? { fd: openToLook(kernel, data, file), readOnly: LOOKED_AT } : openEitherWay(kernel, data, file);
  try {
    const { kind, size } = kernel.status(opened.fd);
    if (kind !== "file" || size < BigInt(BYTES)) {
      throw new Refusal(`${SHOWN} is a ${kind} of ${size} bytes, and no boot record of ${BYTES}; move it away, and reboot`);
    }
    return { path: String(procPath(opened.fd)), shown: SHOWN, ...opened };
  } catch (error) {
    kernel.close(opened.fd);
    throw error;
  }
}

const LOOKED_AT = `${SHOWN} was opened for reading only`;

function openToLook(kernel: Kernel, data: Descriptor, file: string): Descriptor {
  return openBeneath(kernel, data, file, O.RDONLY | O.DIRECT | O.NONBLOCK);
}

function openEitherWay(kernel: Kernel, data: Descriptor, file: string): Pick<RecordDevice, "fd" | "readOnly"> {
  try {
    return { fd: openBeneath(kernel, data, file, O.RDWR | O.DIRECT | O.DSYNC | O.NONBLOCK), readOnly: null };
  } catch (error) {
    if (!isCode(error, "EROFS", "EACCES", "EPERM")) throw error;
    const readOnly = `${SHOWN} cannot be opened for writing (${error.code}); has the filesystem become read-only?`;
    return { fd: openToLook(kernel, data, file), readOnly };
  }
}

function makeIfMissing(kernel: Kernel, data: Descriptor): void {
  try {
    if (!exists(kernel, data, DIRECTORY)) {
      kernel.makeDirectory(DIRECTORY, 0o700, data);
      kernel.sync(data);
    }
    withDirectory(kernel, data, DIRECTORY, (directory) => {
      if (exists(kernel, directory, NAME)) return;
      removeIfThere(kernel, directory, ASIDE);
      makeAside(kernel, directory);
      kernel.rename(ASIDE, NAME, { at: directory });
      kernel.sync(directory);
    });
  } catch (error) {
    // What is there can be read all the same; what is not is told by who opens it.
    if (!isCode(error, "EROFS")) throw error;
  }
}

function makeAside(kernel: Kernel, directory: Descriptor): void {
  const open = () => openBeneath(kernel, directory, ASIDE, O.RDWR | O.CREAT | O.EXCL, 0o600);
  withDescriptor(kernel, open, (fd) => {
    noCopyOnWrite(kernel, fd);
    kernel.allocate(fd, 0n, BigInt(BYTES));
    // Allocated blocks that were never written are marked so, and the first write of each would change the mark.
    kernel.write(fd, new Uint8Array(BYTES), 0n);
    kernel.sync(fd);
  });
}
