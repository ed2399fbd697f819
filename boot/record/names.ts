/** What the boot record calls slots and images by. */

/** Name of a slot as system.yaml says it: "a". */
export type SlotName = string;

/** SHA-256 in hex (64 digits) that stands for an image; without a seal it is that of the slot's first bytes (init/store/image-id.ts). */
export type ImageId = string;
