import { BadInput } from "../../state-ops/outcome.ts";

/** How system.yaml and the control file name a device. UUIDs are in lower case, paths canonical. */
export interface DeviceReference {
  by: "partlabel" | "partuuid" | "label" | "uuid" | "path";
  value: string;
}

const prefixes = { PARTLABEL: "partlabel", PARTUUID: "partuuid", LABEL: "label", UUID: "uuid" } as const;

const grammar = "write PARTLABEL=, PARTUUID=, LABEL=, UUID= or /dev/…";

/**
 * `text` as a device reference: `PARTLABEL=root-a`, `PARTUUID=…`, `LABEL=…`, `UUID=…` or `/dev/vda2`.
 *
 * Partition labels are printable ASCII, at most 36 characters: the kernel tells others only in a mangled form.
 *
 * @throws BadInput for anything else
 */
export function parseReference(text: string): DeviceReference {
  if (text.startsWith("/")) return { by: "path", value: checkPath(text) };
  const match = /^(PARTLABEL|PARTUUID|LABEL|UUID)=(.*)$/s.exec(text);
  const prefix = match?.[1];
  const value = match?.[2] ?? "";
  if (prefix !== "PARTLABEL" && prefix !== "PARTUUID" && prefix !== "LABEL" && prefix !== "UUID") {
    throw new BadInput(`"${text}" names no device; ${grammar}`);
  }
  const by = prefixes[prefix];
  if (value === "") throw new BadInput(`"${text}" names no device: nothing after the equals sign`);
  if (by === "partlabel" && !/^[\x20-\x7e]{1,36}$/.test(value)) {
    throw new BadInput(`"${text}": a partition label is 1 to 36 printable ASCII characters; rename the partition`);
  }
  if ((by === "partuuid" || by === "uuid") && !/^[0-9a-f]+(-[0-9a-f]+)*$/i.test(value)) {
    throw new BadInput(`"${text}": a UUID is hex digits and dashes, as blkid prints it`);
  }
  return { by, value: by === "partuuid" || by === "uuid" ? value.toLowerCase() : value };
}

function checkPath(path: string): string {
  const names = path.split("/").slice(1);
  const canonical = names.length >= 2 && names[0] === "dev" && names.every((name) => !["", ".", ".."].includes(name));
  if (!canonical) throw new BadInput(`"${path}" is no device path; write /dev/NAME without "." and ".."`);
  const by = /^\/dev\/disk\/by-(partlabel|partuuid|label|uuid)\/(.+)$/.exec(path);
  if (by)
    throw new BadInput(`"${path}" is made by udev, which does not run in an initrd; write ${by[1]?.toUpperCase()}=${by[2]}`);
  return path;
}

/** The reference as {@link parseReference} reads it. */
export function printReference(reference: DeviceReference): string {
  return reference.by === "path" ? reference.value : `${reference.by.toUpperCase()}=${reference.value}`;
}
