import type { DeviceNumber, FileStatus, FilesystemStatus } from "../kernel.ts";
import type { Filesystem, Place } from "./memory-nodes.ts";

/** "252:2" */
export function numberText({ major, minor }: DeviceNumber): string {
  return `${major}:${minor}`;
}

export function statusOf(place: Place): FileStatus {
  const { node } = place.entry;
  return {
    kind: node.kind,
    mode: node.mode,
    owner: node.owner,
    group: node.group,
    size: BigInt(node.size),
    allocated: BigInt(node.size),
    device: node.filesystem.number,
    node: node.device,
    inode: BigInt(node.number),
    links: node.links,
    accessed: node.accessed,
    modified: node.modified,
  };
}

export function filesystemStatusOf(filesystem: Filesystem, used: { bytes: number; nodes: number }): FilesystemStatus {
  const blocks = Math.floor(filesystem.capacity.bytes / 4096);
  return {
    magic: filesystem.magic,
    blockSize: 4096,
    blocks: BigInt(blocks),
    available: BigInt(Math.max(0, blocks - Math.ceil(used.bytes / 4096))),
    inodes: BigInt(filesystem.capacity.inodes),
    inodesFree: BigInt(Math.max(0, filesystem.capacity.inodes - used.nodes)),
  };
}
