/** What is proven of this boot, what must not be older, and what the loader's own signature covers. */

import type { BootRecord, Quarantine } from "../../boot/record/record.ts";
import type { BootReport } from "../../boot/report.ts";
import { bootFloor, installFloor } from "../../boot/selection/floors.ts";
import { decodeSwitch, decodeVariable, EFI_VARIABLE } from "../../boot/stores/efi-variables.ts";
import { readBytes } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { loaderText } from "./loader-facts.ts";
import type { Machine, Places } from "./machine.ts";

export interface LoaderFacts {
  firmware: "uefi" | "other";
  /** Whether the firmware starts signed programs only; null where it does not tell. */
  secureBoot: boolean | null;
  /** Whether kernel, initrd, control file and command line came as one program: a unified kernel image. */
  unifiedImage: boolean;
  /** What the loader calls itself (LoaderInfo): "systemd-boot 252.39". Null where it does not tell. */
  name: string | null;
  /** The entry that it started (LoaderEntrySelected): "slipway-a.efi". Null where it does not tell. */
  entry: string | null;
  /** Whether this kernel and its initrd are the slot's own, which slipway started by kexec. */
  kexec: boolean;
  /** One sentence. */
  summary: string;
}

export interface TrustFacts {
  /** What the running image's seal says; null where it has none. */
  image: BootReport["image"];
  proof: BootReport["proof"];
  /** Ids of the trusted keys that signed the seal. */
  signers: string[];
  /** What a rollback index must not be below; null where images are not signed. */
  floors: { boot: number; install: number } | null;
  quarantined: Quarantine[];
  loader: LoaderFacts;
  /** `image` and `proof` in one sentence. */
  summary: string;
}

function variable(kernel: Kernel, places: Places, name: string): Uint8Array | null {
  try {
    const read = decodeVariable(readBytes(kernel, `${places.efivars}/${name}`));
    return typeof read === "string" ? new Uint8Array(0) : read.value;
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/** Reads what the firmware tells. A machine without UEFI has no such directory. */
function loaderFacts(kernel: Kernel, places: Places, kexec: boolean): LoaderFacts {
  const value = variable(kernel, places, EFI_VARIABLE.secureBoot);
  const unifiedImage = variable(kernel, places, EFI_VARIABLE.stubInfo) !== null;
  const secureBoot = value === null ? null : decodeSwitch(value) === true;
  const firmware = value === null && !unifiedImage ? "other" : "uefi";
  const name = loaderText(kernel, places, EFI_VARIABLE.loaderInfo);
  const entry = loaderText(kernel, places, EFI_VARIABLE.loaderEntrySelected);
  const first = loaderSummary(secureBoot, unifiedImage);
  const summary = kexec ? `${KEXECED}; the first stage: ${first}` : first;
  return { firmware, secureBoot, unifiedImage, name, entry, kexec, summary };
}

const KEXECED = "kernel and initrd are the slot's own, out of its proven image, started by kexec";

const REPLACEABLE = "whoever writes the boot partition can replace kernel, initrd, control file and command line";

function loaderSummary(secureBoot: boolean | null, unifiedImage: boolean): string {
  if (secureBoot === null) return `no UEFI Secure Boot: ${REPLACEABLE}`;
  if (!secureBoot) return `Secure Boot is off: ${REPLACEABLE}`;
  if (unifiedImage) return "Secure Boot is on, and covers kernel, initrd, control file and command line: a unified kernel image";
  return "Secure Boot is on, but initrd, control file and command line are outside of it: no unified kernel image was started";
}

/** What there is to tell. `record` is as the next boot reads it. */
export function trustFacts(kernel: Kernel, places: Places, machine: Machine, record: BootRecord): TrustFacts {
  const { image, proof, signers } = machine.report;
  const { trust } = machine.control;
  const [boot, install] = [bootFloor(record, trust), installFloor(record, trust)];
  return {
    ...{ image, proof, signers },
    floors: boot === null || install === null ? null : { boot, install },
    quarantined: record.quarantined,
    loader: loaderFacts(kernel, places, isSecondStage(machine, record)),
    summary: imageSummary(machine.report),
  };
}

function isSecondStage({ report }: Machine, { attempt }: BootRecord): boolean {
  return attempt?.number === report.attempt && attempt.kexec !== undefined;
}

function imageSummary({ image, proof, signers }: BootReport): string {
  if (image === null) return "without a seal: nothing was proven";
  const what = `${image.version} of ${image.system}, rollback index ${image.rollbackIndex}`;
  const by = signers.map((id) => id.slice(0, 12)).join(", ");
  if (proof === "signed") return `${what}, signed by ${by}, every block is checked`;
  if (proof === "unsigned") return `${what}, every block is checked, but anybody may have sealed it`;
  return `${what}, nothing was checked`;
}
