import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { appendSections, PE_MACHINE, readPe } from "../../../boot/portable-executable.ts";
import { commandLineOf, readKernelFile, releaseOf } from "../../../boot/unified-kernel.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { text, type Verb } from "../../commands/verb.ts";
import { readInput } from "../input.ts";
import { checkOutput, replaceFile } from "../output.ts";
import { runHostProgram } from "../program.ts";
import { requiredOption } from "./required-option.ts";

/** What a unified kernel image is made from; paths of the host. */
export interface UkiInput {
  linux: string;
  initrd: string;
  commandLine: string;
  /** Null: a name for the loader's list and no more. */
  release: string | null;
  /** Null: Debian's, for the kernel's machine. */
  stub: string | null;
  /** Both in PEM. Null: unsigned. */
  signer: { key: string; certificate: string } | null;
  output: string;
}

const RELEASE = "ID=slipway\nPRETTY_NAME=slipway\n";

/** Writes the image and returns what there is to say about it, line by line. */
export async function buildUki(input: UkiInput): Promise<string[]> {
  const output = checkOutput(input.output);
  const linux = readInput(`--linux ${input.linux}`, input.linux);
  const { machine, release: kernel } = readKernelFile(`--linux ${input.linux}`, linux);
  const initrd = readInput(`--initrd ${input.initrd}`, input.initrd);
  if (initrd.length === 0) throw new BadInput(`--initrd ${input.initrd} is empty`);
  const commandLine = commandLineOf(input.commandLine);
  const { name, efi } = PE_MACHINE[machine] ?? { name: "?", efi: "?" };
  const stubFile = input.stub ?? `/usr/lib/systemd/boot/efi/linux${efi}.efi.stub`;
  if (input.stub === null && !existsSync(stubFile))
    throw new BadInput(`there is no ${stubFile}; install Debian's systemd-boot-efi for ${name}, or name a stub with --stub`);
  const stub = readInput(`--stub ${stubFile}`, stubFile);
  const stubMachine = readPe(`--stub ${stubFile}`, stub).machine;
  if (stubMachine !== machine) {
    const other = PE_MACHINE[stubMachine]?.name ?? `0x${stubMachine.toString(16)}`;
    throw new BadInput(`--stub ${stubFile} is for ${other}, --linux ${input.linux} for ${name}`);
  }
  const release = input.release === null ? RELEASE : releaseOf(`--os-release ${input.release}`, readText(input.release));
  const encoded = (content: string) => new TextEncoder().encode(content);
  const sections = [
    { name: ".osrel", bytes: encoded(release) },
    { name: ".cmdline", bytes: encoded(commandLine) },
    ...(kernel === null ? [] : [{ name: ".uname", bytes: encoded(kernel) }]),
    { name: ".initrd", bytes: initrd },
    { name: ".linux", bytes: linux },
  ];
  const image = appendSections(`--stub ${stubFile}`, stub, sections);
  const { signer } = input;
  await replaceFile(output, async (file, scratch) => {
    const unsigned = signer === null ? file : `${scratch}/unsigned`;
    writeFileSync(unsigned, image, { flag: "wx" });
    if (signer !== null)
      await runHostProgram("sbsign", ["--key", signer.key, "--cert", signer.certificate, "--output", file, unsigned]);
  });
  const slot = /(?:^| )slipway\.slot=(\S+)/.exec(commandLine)?.[1];
  return [
    ...(slot === undefined
      ? ["its command line has no slipway.slot=: PID 1 cannot tell which slot's image the loader chose"]
      : []),
    `${input.output}: ${image.length} bytes (${(image.length / 2 ** 20).toFixed(1)} MiB), ${name}, kernel ${kernel ?? "of no known version"}, ${slot === undefined ? "no slot" : `slot ${slot}`}, ${signer === null ? "unsigned" : `signed with ${signer.certificate}`}`,
  ];
}

function readText(path: string): string {
  return new TextDecoder().decode(readInput(`--os-release ${path}`, path));
}

/** Refuses what sbsign would take for another kind of error. */
function signerOf(key: string | undefined, certificate: string | undefined): UkiInput["signer"] {
  if (key === undefined && certificate === undefined) return null;
  if (key === undefined || certificate === undefined) throw new BadInput("--key and --cert belong together; one is missing");
  for (const [option, path] of [["--key", key] as const, ["--cert", certificate] as const]) {
    readInput(`${option} ${path}`, path);
    if (!/-----BEGIN /.test(readFileSync(path, "latin1"))) throw new BadInput(`${option} ${path} is not in PEM`);
  }
  return { key, certificate };
}

export const verb: Verb = {
  help: `
Usage: slipway initrd uki --linux FILE --initrd FILE --cmdline TEXT [OPTION]… -o FILE.efi

Writes a unified kernel image: one EFI executable with kernel, initrd and command line, for a slot of its own. Signed, with
Secure Boot on, it covers all three and the control file in the initrd. Unsigned: same input, same bytes; a signature has the
time in it. On the EFI system partition it belongs at EFI/Linux/slipway-RANK-BOOTNAME[-VERSION]+3.efi.

  --linux FILE          the slot's kernel, with an EFI stub of its own: /boot/vmlinuz-VERSION
  --initrd FILE         from slipway initrd build
  --cmdline TEXT        the kernel's command line; slipway.slot=BOOTNAME belongs in it
  --os-release FILE     what the loader's list shows (PRETTY_NAME); its version lines are left out, since systemd-boot would
                        order the slots by them
  --stub FILE           systemd's stub (default: /usr/lib/systemd/boot/efi/linuxx64.efi.stub, or linuxaa64.efi.stub, of Debian's
                        systemd-boot-efi for the kernel's machine)
  --key FILE, --cert FILE  sign with this key and certificate, both in PEM; needs sbsign
  -o, --output FILE     where to write it`,
  options: {
    linux: { type: "string" },
    initrd: { type: "string" },
    cmdline: { type: "string" },
    "os-release": { type: "string" },
    stub: { type: "string" },
    key: { type: "string" },
    cert: { type: "string" },
    output: { type: "string", short: "o" },
  },
  positionals: [],
  async run(values) {
    const required = (name: string) => requiredOption("initrd uki", values, name);
    const lines = await buildUki({
      linux: required("linux"),
      initrd: required("initrd"),
      commandLine: required("cmdline"),
      release: text(values, "os-release") ?? null,
      stub: text(values, "stub") ?? null,
      signer: signerOf(text(values, "key"), text(values, "cert")),
      output: required("output"),
    });
    for (const line of lines) console.log(line);
    return 0;
  },
};
