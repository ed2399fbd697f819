/** What a disk's first and last bytes are known for, to name what is on a disk; whether there is anything is decided by its zeros. */

import { type ReadAt, readGptCopy } from "./gpt.ts";
import { mbrKind } from "./protective-mbr.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "./superblock.ts";

interface Signature {
  name: string;
  /** From the start, or from the end where it is negative, bytes. */
  at: number;
  bytes: string;
}

const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");

/** As util-linux's libblkid knows them, libblkid/src/superblocks; md's metadata: Linux, include/uapi/linux/raid/md_p.h. */
const SIGNATURES: Signature[] = [
  { name: "a LUKS volume", at: 0, bytes: hex("LUKS\xba\xbe") },
  ...[0, 512, 1024, 1536].map((at) => ({ name: "an LVM physical volume", at, bytes: hex("LABELONE") })),
  ...[0, 4096].map((at) => ({ name: "a member of a RAID", at, bytes: "fc4e2ba9" })),
  ...[-8192, -65536, -131072].map((at) => ({ name: "a member of a RAID", at, bytes: "fc4e2ba9" })),
  ...[4086, 8182, 16374, 65526].flatMap((at) => [
    { name: "swap space", at, bytes: hex("SWAPSPACE2") },
    { name: "swap space", at, bytes: hex("SWAP-SPACE") },
  ]),
  { name: "an iso9660 filesystem", at: 0x8001, bytes: hex("CD001") },
  { name: "an ntfs filesystem", at: 3, bytes: hex("NTFS    ") },
  { name: "an exfat filesystem", at: 3, bytes: hex("EXFAT   ") },
  { name: "an f2fs filesystem", at: 1024, bytes: "1020f5f2" },
  { name: "a BitLocker volume", at: 3, bytes: hex("-FVE-FS-") },
  { name: "a bcache device", at: 4096 + 24, bytes: "c68573f64e1a45ca8265f57f48ba6d81" },
  { name: "a firmware RAID", at: -1024, bytes: hex("Intel Raid ISM") },
  { name: "a firmware RAID", at: -512, bytes: "de11de11" },
];

/** "a GPT", "an ext4 filesystem": what is recognised on a device, in words; empty where nothing is. */
export function signaturesOn(read: ReadAt, sizeBytes: bigint, sectorSize: number): string[] {
  const found: string[] = [];
  const start = read(0n, SUPERBLOCK_BYTES);
  const lastLba = sizeBytes / BigInt(sectorSize) - 1n;
  const copies = lastLba < 3n ? [] : [readGptCopy(read, 1n, sectorSize), readGptCopy(read, lastLba, sectorSize)];
  if (copies.some((copy) => typeof copy !== "string")) found.push("a GPT");
  const superblock = readSuperblock(start);
  if (superblock !== null) found.push(`${/^[aeiou]|^xfs/.test(superblock.type) ? "an" : "a"} ${superblock.type} filesystem`);
  else if (mbrKind(start) === "foreign") found.push("an MBR with partitions");
  for (const { name, at, bytes } of SIGNATURES) {
    const offset = at < 0 ? sizeBytes + BigInt(at) : BigInt(at);
    if (offset < 0n || found.includes(name)) continue;
    if (read(offset, bytes.length / 2).toHex() === bytes) found.push(name);
  }
  return found;
}
