import { deviceFault } from "../../state-ops/device-reference.ts";
import { BadInput } from "../../state-ops/outcome.ts";

/** How system.yaml and the control file name a device. UUIDs are in lower case, paths canonical. */
export interface DeviceReference {
  by: "partlabel" | "partuuid" | "label" | "uuid" | "path";
  value: string;
}

const prefixes = { PARTLABEL: "partlabel", PARTUUID: "partuuid", LABEL: "label", UUID: "uuid" } as const;

/** `text` as a device reference. @throws BadInput where it is none */
export function parseReference(text: string): DeviceReference {
  const wrong = deviceFault(text);
  if (wrong !== null) throw new BadInput(wrong);
  if (text.startsWith("/")) return { by: "path", value: text };
  const equals = text.indexOf("=");
  const prefix = text.slice(0, equals);
  const value = text.slice(equals + 1);
  if (prefix === "PARTLABEL" || prefix === "LABEL") return { by: prefixes[prefix], value };
  if (prefix === "PARTUUID" || prefix === "UUID") return { by: prefixes[prefix], value: value.toLowerCase() };
  return { by: "path", value: text };
}

/** The reference as {@link parseReference} reads it. */
export function printReference(reference: DeviceReference): string {
  return reference.by === "path" ? reference.value : `${reference.by.toUpperCase()}=${reference.value}`;
}
