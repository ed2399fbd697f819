/** Why a kernel did not load another one (kexec_file_load(2)), in words. */

/** Whose fault it is: `machine`, where no kernel could be loaded here and now, or `image`, whose kernel it is. */
export interface LoadFailure {
  whose: "machine" | "image";
  reason: string;
}

const SIGNATURE =
  "this kernel wants a signature that it can check, and the slot's kernel has none: sign it for Secure Boot, with a key that the machine knows";

const FAILURES: Record<string, LoadFailure> = {
  ENOSYS: {
    whose: "machine",
    reason:
      "the kernel that runs cannot start another one from files: it is built without CONFIG_KEXEC_FILE, as Debian's for arm64",
  },
  EPERM: {
    whose: "machine",
    reason:
      "the kernel that runs may not start another one: kernel.kexec_load_disabled is set, or it is locked down and the other is not signed, or this is not root",
  },
  ENOMEM: { whose: "machine", reason: "there is not enough memory for another kernel beside the one that runs" },
  EADDRNOTAVAIL: { whose: "machine", reason: "there is no place in memory for another kernel" },
  EBUSY: { whose: "machine", reason: "somebody else loads a kernel at this moment" },
  ENOEXEC: { whose: "image", reason: "the slot's kernel is none that this machine can start" },
  ELIBBAD: { whose: "image", reason: "the slot's kernel is damaged or cut short: its signature cannot be found" },
  EKEYREJECTED: { whose: "image", reason: "the slot's kernel is signed, and not by a key that the machine trusts" },
  ENOKEY: { whose: "image", reason: "the slot's kernel is signed by a key that the machine does not know" },
  ENODATA: { whose: "image", reason: SIGNATURE },
  EBADMSG: { whose: "image", reason: SIGNATURE },
  ENOPKG: { whose: "image", reason: "the slot's kernel is signed in a way that this kernel cannot check" },
  EINVAL: { whose: "image", reason: "the slot's kernel does not take this command line, or is damaged" },
  EIO: {
    whose: "image",
    reason: "the slot's kernel or initrd cannot be read: a block differs from the hash tree, or the disk fails",
  },
};

/**
 * Bytes that a command line for kexec_file_load(2) may have, without its NUL. Of COMMAND_LINE_SIZE, 2048 on x86 and arm64, a bzImage
 * takes 2047 with the NUL, and Linux keeps 30 of them for a crash kernel's "elfcorehdr=" whatever is loaded (bzImage64_load in
 * arch/x86/kernel/kexec-bzimage64.c). arm64 cuts a longer line short without a word, and with it the nonce at its end.
 */
export const MOST_KEXEC_LINE = 2016;

/** Why no kernel takes `line`, whichever it is; null where that is no reason. */
export function lineFailure(line: string): LoadFailure | null {
  const length = Buffer.byteLength(line);
  if (length <= MOST_KEXEC_LINE) return null;
  const reason = `the command line for it has ${length} bytes, kexec takes ${MOST_KEXEC_LINE}: shorten the one that the bootloader gives`;
  return { whose: "machine", reason };
}

/** What the kernel's answer `code` ("ENOSYS") means. */
export function loadFailure(code: string): LoadFailure {
  const known = FAILURES[code] ?? { whose: "image", reason: "the slot's kernel was not taken" };
  return { ...known, reason: `${known.reason} (${code})` };
}
