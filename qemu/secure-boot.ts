/** Secure Boot with keys of one's own: made by openssl and efitools, enrolled by systemd-boot in an OVMF in setup mode. */
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import type { EspFiles } from "./esp.ts";
import { FACTORY_VARIABLES } from "./firmware.ts";
import { startMachine } from "./machine.ts";
import { keptOf } from "./product.ts";
import { runProgram } from "./program.ts";
import { espImage, SYSTEMD_BOOT } from "./systemd-boot-disk.ts";

/** PEM files that sbsign takes. */
export interface Signer {
  key: string;
  certificate: string;
}

export interface SecureBootKeys {
  /** What the machine's db trusts. */
  db: Signer;
  /** A key that it does not know. */
  foreign: Signer;
  /** PK, KEK and db, each signed as UEFI wants it, in the folder where systemd-boot looks for them. */
  enrolment: EspFiles;
}

const GUID = "c0de5112-0000-4000-8000-51174a110001";

function signerIn(directory: string, name: string): Signer {
  return { key: `${directory}/${name}.key`, certificate: `${directory}/${name}.crt` };
}

/** A new key called `name`, in `directory`, with a certificate that it signed itself. */
export async function makeSigner(directory: string, name: string): Promise<Signer> {
  const signer = signerIn(directory, name);
  const files = ["-keyout", signer.key, "-out", signer.certificate];
  const subject = ["-subj", `/CN=slipway test ${name}`, "-days", "3650", "-sha256"];
  await runProgram("openssl", ["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject, ...files]);
  return signer;
}

/** Keys for machines of tests: made once, and as long as they are kept the same. */
export async function secureBootKeys(): Promise<SecureBootKeys> {
  const directory = await keptOf("secure-boot-keys", [GUID], async (aside) => {
    for (const name of ["PK", "KEK", "db", "foreign"]) {
      const { certificate } = await makeSigner(aside, name);
      await runProgram("cert-to-efi-sig-list", ["-g", GUID, certificate, `${aside}/${name}.esl`]);
    }
    for (const [name, by] of [
      ["PK", "PK"],
      ["KEK", "PK"],
      ["db", "KEK"],
    ] as const) {
      const { key, certificate } = signerIn(aside, by);
      await runProgram("sign-efi-sig-list", [
        "-g",
        GUID,
        "-k",
        key,
        "-c",
        certificate,
        name,
        `${aside}/${name}.esl`,
        `${aside}/${name}.auth`,
      ]);
    }
  });
  const auth = ["PK", "KEK", "db"].map(
    (name) => [`loader/keys/auto/${name}.auth`, { file: `${directory}/${name}.auth` }] as const,
  );
  return { db: signerIn(directory, "db"), foreign: signerIn(directory, "foreign"), enrolment: Object.fromEntries(auth) };
}

/** `file` signed by `signer`, kept. */
export async function signedEfi(file: string, signer: Signer): Promise<string> {
  const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
  const directory = await keptOf("signed-efi", [hash, readFileSync(signer.certificate, "utf8")], async (aside) => {
    await runProgram("sbsign", ["--key", signer.key, "--cert", signer.certificate, "--output", `${aside}/signed.efi`, file]);
  });
  return `${directory}/signed.efi`;
}

/**
 * A file of an OVMF's variables in which the keys are enrolled, so that Secure Boot is on; to be copied. They come from one start of a
 * machine in setup mode, in which systemd-boot enrols what it finds (secure-boot-enroll force), and are kept.
 */
export async function enrolledVariables(keys: SecureBootKeys): Promise<string> {
  const certificate = readFileSync(keys.db.certificate, "utf8");
  const directory = await keptOf("enrolled-variables", [certificate], async (aside) => {
    const files: EspFiles = {
      "EFI/BOOT/BOOTX64.EFI": { file: await signedEfi(SYSTEMD_BOOT, keys.db) },
      "loader/loader.conf": "secure-boot-enroll force\ntimeout 0\n",
      ...keys.enrolment,
    };
    const variables = `${aside}/variables`;
    copyFileSync(FACTORY_VARIABLES, variables);
    const disk = `${aside}/disk`;
    copyFileSync(await espImage(files, 64), disk);
    const machine = await startMachine({
      name: "enrol",
      firmware: { kind: "ovmf", variables, secureBoot: true },
      disks: [{ file: disk }],
      noReboot: true,
      timeoutMs: 120_000,
    });
    await machine.expect("Enrolling secure boot keys");
    const { reason } = await machine.exited;
    if (reason !== "guest-reset") throw new Error(`the machine that enrols keys ended by ${reason}; its log is ${machine.log}`);
  });
  return `${directory}/variables`;
}
