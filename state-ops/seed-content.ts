/** What must not be in a store that begins with the image's content. */
import type { Operator } from "./control.ts";
import type { ImageFile, ImageTree } from "./image-tree.ts";

/** What a file takes in a tmpfs is counted in pages. */
const PAGE = 4096;

/** Everything that is wrong with what a new store of `operator` would begin with; nothing where it begins empty. */
export function seedFaults(operator: Operator, image: ImageTree): string[] {
  const { path, state, seed, via, literal } = operator;
  if (literal !== null) {
    if (state !== "identity") return [];
    return [
      ...(isPrivateKey(literal) ? [keyFault(path, path)] : []),
      ...(isMachineId(path, literal) ? [machineIdFault(path, path)] : []),
    ];
  }
  // An overlay copies nothing; the image's own files show through.
  if (seed !== "image" || (via !== "bind" && via !== "tmpfs")) return [];
  const privileged: string[] = [];
  const devices: string[] = [];
  const keys: string[] = [];
  const ids: string[] = [];
  let bytes = 0;
  let inodes = 1;
  for (const file of image.files(path)) {
    bytes += Math.ceil(file.size / PAGE) * PAGE;
    inodes++;
    if (file.isPrivileged && file.kind === "file") privileged.push(file.path);
    if (file.isDevice) devices.push(file.path);
    if (state === "identity" && isKeyFile(file)) keys.push(file.path);
    if (state === "identity" && isMachineId(file.path, file.head())) ids.push(file.path);
  }
  const fault = (found: string[], text: (shown: string) => string): string[] => (found.length > 0 ? [text(some(found))] : []);
  const into = `"seed: image" would copy it into ${state} state at ${path}`;
  return [
    ...fault(privileged, (shown) => `${shown} is setuid or setgid in the image, and ${into}; take it out of the image`),
    ...fault(devices, (shown) => `${shown} is a device node in the image, and ${into}; take it out of the image`),
    ...limitFaults(operator, bytes, inodes),
    ...fault(keys, (shown) => keyFault(shown, path)),
    ...fault(ids, (shown) => machineIdFault(shown, path)),
  ];
}

/** Memory that begins with more than it may hold would fail at every boot. */
function limitFaults({ path, size, inodes: limit }: Operator, bytes: number, inodes: number): string[] {
  const holds = `the image's content of ${path}`;
  return [
    ...(size !== null && bytes > size ? [`${holds} needs ${bytes} bytes, and "size" is ${size}; say a greater one`] : []),
    ...(limit !== null && inodes > limit ? [`${holds} needs ${inodes} inodes, and "inodes" is ${limit}; say more`] : []),
  ];
}

function keyFault(shown: string, path: string): string {
  return `${shown} is a private key, which all devices with this image would share at ${path}; have it made on the device`;
}

function machineIdFault(shown: string, path: string): string {
  return `${shown} is a machine id, which all devices with this image would share at ${path}; ship it as an empty file, and say "generate: machine-id"`;
}

function some(paths: string[]): string {
  const more = paths.length - 1;
  return `${paths[0]}${more > 0 ? ` (and ${more} more)` : ""}`;
}

/** Whether a file is a host key of ssh, or any private key in PEM. */
export function isKeyFile(file: ImageFile): boolean {
  if (file.kind !== "file") return false;
  const head = file.head();
  return (/\/ssh_host_[^/]*_key$/.test(file.path) && head.trim() !== "") || isPrivateKey(head);
}

function isPrivateKey(text: string): boolean {
  return /^\s*-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/.test(text);
}

/** Whether a file at `path` with this text is a machine id that is made already. */
export function isMachineId(path: string, text: string): boolean {
  return path.endsWith("/machine-id") && /^[0-9a-fA-F-]{32,36}\s*$/.test(text);
}
