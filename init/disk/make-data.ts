import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { MAKERS, missingMaker } from "../../state-ops/data-make.ts";
import { O } from "../kernel/constants.ts";
import { exists, withOpen } from "../kernel/files.ts";
import { KernelError } from "../kernel/kernel.ts";
import { LONGEST_MINUTES, runFilesystemProgram } from "../sequence/filesystem-program.ts";
import type { Launch } from "../sequence/launch.ts";

const MAKE_LOG = "/run/slipway/data-make.log";

/** Why no data filesystem can be made in this initrd, where the machine has one; null: it can. */
export function missingDataMaker({ control, kernel }: Launch): string | null {
  if (control.data === null) return null;
  const maker = MAKERS[control.data.filesystem];
  return maker.programs.some((path) => exists(kernel, path)) ? null : missingMaker(maker);
}

/**
 * Makes a new filesystem on `device`, whatever is there, and waits until it is on the disk. Null: it is; else why not. Throws
 * nothing of its own.
 */
export async function makeDataFilesystem(boot: Launch, filesystem: DataFilesystem, device: string): Promise<string | null> {
  const { kernel } = boot;
  const maker = MAKERS[filesystem];
  const program = maker.programs.find((path) => exists(kernel, path));
  if (program === undefined) return missingMaker(maker);
  boot.log.notice(`${maker.name} makes the data filesystem on ${device}`);
  try {
    const ended = await runFilesystemProgram(boot, program, [maker.name, ...maker.words(device)], MAKE_LOG);
    if (ended === null) return `${maker.name} was killed, since it ran for more than ${LONGEST_MINUTES} minutes`;
    if (ended.exitCode !== 0) {
      const how = ended.exitCode === null ? `was killed by signal ${ended.signal}` : `failed (exit ${ended.exitCode})`;
      return `${maker.name} ${how}; what it says is in ${MAKE_LOG}`;
    }
    const made = withOpen(kernel, device, O.RDWR, (fd) => {
      kernel.sync(fd);
      return readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n));
    });
    return made?.type === filesystem
      ? null
      : `${maker.name} said nothing, and left ${made?.type ?? "no"} filesystem on ${device}`;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return `${maker.name} cannot be run: ${error.message}`;
  }
}
