/** Files that are kernels and initrds as far as slipway looks at them. */
import { type CpioEntry, writeCpio } from "../../init/builder/initrd/cpio.ts";

/** A bzImage (docs.kernel.org/arch/x86/boot.html) that says it is `release`, built as `version`. */
export function bzImage(release: string, version: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(0x1000);
  const view = new DataView(bytes.buffer);
  bytes.set([0x4d, 0x5a]);
  view.setUint8(0x1f1, 7);
  view.setUint32(0x202, 0x48647253, false);
  view.setUint16(0x20e, 0x600, true);
  bytes.set(new TextEncoder().encode(`${release} (builder@example) ${version}\0`), 0x800);
  return bytes;
}

const directory = (path: string): CpioEntry => ({ path, kind: "directory", mode: 0o755 });
export const cpioFile = (path: string, text: string): CpioEntry => ({
  path,
  kind: "file",
  mode: 0o644,
  content: new TextEncoder().encode(text),
});

/** What an initrd of ours begins with. */
export function initrdEntries(control: string): CpioEntry[] {
  return [directory("etc"), directory("etc/slipway"), cpioFile("init", "preinit"), cpioFile("etc/slipway/control.json", control)];
}

export function archive(entries: CpioEntry[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(writeCpio(entries)));
}

/** An initrd with that control file. */
export function initrd(control: string): Uint8Array<ArrayBuffer> {
  return archive(initrdEntries(control));
}
