/**
 * UEFI's variables as Linux's efivarfs has them: UEFI specification 2.10, chapters 3.3 and 8.2, Linux's
 * Documentation/filesystems/efivarfs.rst, and systemd's Boot Loader Interface for those that loaders set. All numbers are
 * little-endian. A string in the place of a value says why it is none.
 */

/** Vendors: who gave a variable its meaning. */
export const EFI_VENDOR = {
  /** EFI_GLOBAL_VARIABLE: Boot####, BootOrder, SecureBoot. */
  global: "8be4df61-93ca-11d2-aa0d-00e098032b8c",
  /** systemd's loader interface, which GRUB's module bli speaks too. */
  loader: "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
  /** EFI_IMAGE_SECURITY_DATABASE: db and dbx. */
  imageSecurity: "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
} as const;

/** The variables' names, which are their files' in efivarfs. */
export const EFI_VARIABLE = {
  bootOrder: `BootOrder-${EFI_VENDOR.global}`,
  bootNext: `BootNext-${EFI_VENDOR.global}`,
  bootCurrent: `BootCurrent-${EFI_VENDOR.global}`,
  /** One byte each: 1 where it is on. */
  secureBoot: `SecureBoot-${EFI_VENDOR.global}`,
  setupMode: `SetupMode-${EFI_VENDOR.global}`,
  /** What is revoked. It is there or not. */
  revoked: `dbx-${EFI_VENDOR.imageSecurity}`,
  /** Texts: see {@link decodeText}. */
  loaderInfo: `LoaderInfo-${EFI_VENDOR.loader}`,
  loaderDevicePartUuid: `LoaderDevicePartUUID-${EFI_VENDOR.loader}`,
  loaderImageIdentifier: `LoaderImageIdentifier-${EFI_VENDOR.loader}`,
  loaderEntrySelected: `LoaderEntrySelected-${EFI_VENDOR.loader}`,
  loaderEntryDefault: `LoaderEntryDefault-${EFI_VENDOR.loader}`,
  loaderEntryOneShot: `LoaderEntryOneShot-${EFI_VENDOR.loader}`,
  loaderBootCountPath: `LoaderBootCountPath-${EFI_VENDOR.loader}`,
  /** What a unified kernel image was started by. */
  stubInfo: `StubInfo-${EFI_VENDOR.loader}`,
} as const;

/** Attributes of a variable. */
export const EFI_ATTRIBUTE = { nonVolatile: 1, bootService: 2, runtime: 4 } as const;

/** Attributes of the variables that the firmware's boot manager reads, and that outlive a boot. */
export const KEPT_VARIABLE = EFI_ATTRIBUTE.nonVolatile | EFI_ATTRIBUTE.bootService | EFI_ATTRIBUTE.runtime;

export interface EfiVariable {
  /** Bits of {@link EFI_ATTRIBUTE}, and others that are kept. */
  attributes: number;
  value: Uint8Array;
}

const ATTRIBUTE_BYTES = 4;
const MOST_BOOT_NUMBER = 0xffff;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What a file of efivarfs holds. */
export function decodeVariable(file: Uint8Array): EfiVariable | string {
  if (file.length < ATTRIBUTE_BYTES) return `${file.length} bytes, a variable's file begins with 4 of attributes`;
  return { attributes: viewOf(file).getUint32(0, true), value: file.slice(ATTRIBUTE_BYTES) };
}

/** The bytes of a variable's file, which efivarfs takes in one write only. */
export function encodeVariable({ attributes, value }: EfiVariable): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(ATTRIBUTE_BYTES + value.length);
  viewOf(file).setUint32(0, attributes, true);
  file.set(value, ATTRIBUTE_BYTES);
  return file;
}

/** "Boot0003" */
export function bootEntryName(number: number): string {
  return `Boot${number.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** "0003,0001": a boot order for people. */
export function bootOrderText(order: readonly number[]): string {
  return order.map((number) => bootEntryName(number).slice(4)).join(",");
}

/** The name of the variable that holds boot entry `number`. */
export function bootEntryVariable(number: number): string {
  return `${bootEntryName(number)}-${EFI_VENDOR.global}`;
}

/** The number of the boot entry that the variable `name` holds; null for any other variable. Digits are in upper case. */
export function bootEntryNumber(name: string): number | null {
  const match = /^Boot([0-9A-F]{4})-(.*)$/.exec(name);
  return match?.[1] !== undefined && match[2] === EFI_VENDOR.global ? Number.parseInt(match[1], 16) : null;
}

/** Value of BootOrder: numbers of entries, the first to boot first. */
export function decodeBootOrder(value: Uint8Array): number[] | string {
  if (value.length % 2 !== 0) return `${value.length} bytes, BootOrder has two for each entry`;
  const view = viewOf(value);
  return Array.from({ length: value.length / 2 }, (_, index) => view.getUint16(2 * index, true));
}

/** Throws RangeError for what is no number of an entry. */
export function encodeBootOrder(order: readonly number[]): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(2 * order.length);
  const view = viewOf(value);
  order.forEach((number, index) => {
    if (!Number.isInteger(number) || number < 0 || number > MOST_BOOT_NUMBER)
      throw new RangeError(`${number} is no number of a boot entry: 0 to 65535`);
    view.setUint16(2 * index, number, true);
  });
  return value;
}

/** Value of BootNext and BootCurrent: one entry's number. */
export function decodeBootNumber(value: Uint8Array): number | string {
  return value.length === 2 ? viewOf(value).getUint16(0, true) : `${value.length} bytes, an entry's number has two`;
}

/** Throws RangeError for what is no number of an entry. */
export function encodeBootNumber(number: number): Uint8Array<ArrayBuffer> {
  return encodeBootOrder([number]);
}

/** Value of SecureBoot and SetupMode. */
export function decodeSwitch(value: Uint8Array): boolean | string {
  if (value.length !== 1) return `${value.length} bytes, a switch has one`;
  return value[0] === 0 || value[0] === 1 ? value[0] === 1 : `${value[0]}, a switch is 0 or 1`;
}

/**
 * A text of UCS-2 that a NUL ends, as loaders leave it. What comes behind the NUL is ignored, as systemd does.
 * @returns null where no NUL ends it, or where half a character is left
 */
export function decodeText(value: Uint8Array): string | null {
  const end = textEnd(value, 0);
  return end === null || value.length % 2 !== 0 ? null : textUnits(value, 0, end);
}

/** Throws RangeError for a text that has a NUL itself. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new RangeError("a text that a NUL ends has none inside");
  const value = new Uint8Array(2 * (text.length + 1));
  const view = viewOf(value);
  for (let unit = 0; unit < text.length; unit++) view.setUint16(2 * unit, text.charCodeAt(unit), true);
  return value;
}

/** Where the NUL begins that ends the text from `start` on; null where none does. */
export function textEnd(bytes: Uint8Array, start: number): number | null {
  for (let at = start; at + 1 < bytes.length; at += 2) if (bytes[at] === 0 && bytes[at + 1] === 0) return at;
  return null;
}

/** The units of UCS-2 between two places, one by one: a lone surrogate stays what it is. */
export function textUnits(bytes: Uint8Array, start: number, end: number): string {
  const view = viewOf(bytes);
  let text = "";
  for (let at = start; at < end; at += 2) text += String.fromCharCode(view.getUint16(at, true));
  return text;
}

/** "EFI/slipway/grubx64.efi", relative to the partition's root, of "\EFI\slipway\grubx64.efi". */
export function pathOfEfi(path: string): string {
  return path
    .split("\\")
    .filter((part) => part !== "")
    .join("/");
}

/** "\EFI\slipway\grubx64.efi" of "EFI/slipway/grubx64.efi". */
export function efiPath(path: string): string {
  return `\\${path
    .split("/")
    .filter((part) => part !== "")
    .join("\\")}`;
}
