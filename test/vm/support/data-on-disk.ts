/** What befalls the data partition of a machine that is switched off: done on the host, in its disk's file. */
import { partition, startOf } from "../../../qemu/disk-partitions.ts";
import { runProgram } from "../../../qemu/program.ts";

/** Bytes of the partition sys-data. */
function sizeOf(disk: string): number {
  const { firstLba, lastLba } = partition(disk, "sys-data");
  return Number(lastLba - firstLba + 1n) * 512;
}

/** Runs a shell script in a mount namespace of its own, with a loop device on the partition sys-data as $DATA; /mnt is free. */
export function onData(disk: string, script: string): Promise<string> {
  const whole = `set -e
DATA=$(losetup --find --show --offset "$1" --sizelimit "$2" "$3")
trap 'losetup --detach "$DATA"' EXIT
${script}`;
  const words = ["--mount", "--propagation", "private", "sh", "-c", whole, "sh"];
  return runProgram("unshare", [...words, String(startOf(disk, "sys-data")), String(sizeOf(disk)), disk]);
}

/** Changes the ext4 in the partition sys-data with a command of debugfs: "clri <8>". */
export async function debugData(disk: string, command: string): Promise<void> {
  await runProgram("debugfs", ["-w", "-R", command, `${disk}?offset=${startOf(disk, "sys-data")}`]);
}

/** Makes the data filesystem anew, with the UUID `uuid`. */
export async function formatData(disk: string, uuid: string): Promise<void> {
  await onData(disk, `mkfs.ext4 -q -F -U ${uuid} "$DATA"`);
}
