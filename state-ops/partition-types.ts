/**
 * Types of partitions by name, GUIDs in lower case. From the Discoverable Partitions Specification and the UEFI
 * Specification (5.3.3).
 */
export const PARTITION_TYPES: Readonly<Record<string, string>> = {
  linux: "0fc63daf-8483-4772-8e79-3d69d8477de4",
  esp: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  xbootldr: "bc13c2ff-59e6-4262-a352-b275fd6f7172",
  "bios-boot": "21686148-6449-6e6f-744e-656564454649",
  swap: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
  "root-x86": "44479540-f297-41b2-9af7-d131d5f0458a",
  "root-x86-64": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
  "root-arm": "69dad710-2ce4-4e3c-b16c-21a1d49abed3",
  "root-arm64": "b921b045-1df0-41c3-af44-4c6f280d3fae",
  "root-riscv64": "72ec70a6-cf74-40e6-bd49-4bda08e8f224",
  var: "4d21b016-b534-45c2-a9fb-5c16e091fd2d",
  srv: "3b8f8425-20e0-4f3b-907f-1a25a76f98e8",
  home: "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
};

/**
 * What slots, boot record and data are: Linux filesystem data. It says nothing of the processor, unlike the root types, and
 * nobody mounts it unasked.
 */
export const SLIPWAY_PARTITION_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/** A GUID as control files have it. */
export const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The GUID of a type that is said by name or as a GUID; null where it is neither. */
export function partitionType(said: string): string | null {
  const lower = said.toLowerCase();
  if (Object.hasOwn(PARTITION_TYPES, lower)) return PARTITION_TYPES[lower] ?? null;
  return GUID.test(lower) ? lower : null;
}
