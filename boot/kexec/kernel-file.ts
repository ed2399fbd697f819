/** What a kernel's file says of itself. */

/** The part of a file that {@link kernelBanner} looks at, bytes: no setup code of a bzImage is longer. */
export const KERNEL_HEAD = 66 * 512;

/** Of the kernel that runs, or of a file. */
export interface KernelBanner {
  /** uname -r: "6.1.0-50-amd64". */
  release: string;
  /** uname -v: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)". */
  version: string;
}

/**
 * The text at `kernel_version` of a bzImage, and what is behind it: https://docs.kernel.org/arch/x86/boot.html. Empty for any other
 * file: arm64's Image has no such field.
 */
export function versionText(head: Uint8Array): string {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 0x210 || view.getUint32(0x202, false) !== 0x48647253) return "";
  const at = view.getUint16(0x20e, true);
  return at === 0 ? "" : Buffer.from(head.subarray(0x200 + at, 0x200 + at + 512)).toString("latin1");
}

/** What a bzImage says, from its head: "RELEASE (USER@HOST) VERSION". Null for any other file. */
export function kernelBanner(head: Uint8Array): KernelBanner | null {
  const found = /^([^ \0]+) \([^\0]*?\) (#[^\0]*)\0/.exec(versionText(head));
  return found?.[1] && found[2] ? { release: found[1], version: found[2].trim() } : null;
}

/** The same from the text that every kernel has in its uncompressed image: "Linux version RELEASE (USER@HOST) (COMPILER) VERSION". */
export function bannerInside(image: Buffer): Pick<KernelBanner, "release"> | null {
  const at = image.indexOf("Linux version ");
  if (at < 0) return null;
  const found = /^Linux version ([^ \0]+) \(/.exec(image.toString("latin1", at, at + 512));
  return found?.[1] ? { release: found[1] } : null;
}

/**
 * Whether the kernel that runs is the one with modules for `release` whose file says `banner`. Where the file says nothing, its
 * release alone tells.
 */
export function isRunning(running: KernelBanner, release: string, banner: KernelBanner | null): boolean {
  return running.release === release && (banner === null || banner.version === running.version);
}
