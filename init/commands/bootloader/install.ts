import { installBootloader } from "../../bootloader/install.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { print } from "../answer.ts";
import { PLACES } from "../machine.ts";
import { flag, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  help: `
Usage: slipway bootloader install DIR [--version TEXT] [--json]

Puts the files of DIR into the boot directory that does not run, as a new edition: a directory whose name was never used before.
Reads them back, and has the firmware start them once (BootNext). Where no system comes up by them, the machine's next start is
by the committed bootloader again. Where one does, "slipway commit" ends the trial: slipway-commit.service runs it at each good
boot.

Refused while a trial of a slot or of a bootloader is not over.

A loader finds its other files by where it was started from: the directory's name differs from one install to the next. GRUB has
it in $cmdpath. EFI/BOOT/BOOTX64.EFI, where a firmware that forgot everything looks, is never touched.

Options:
  --version TEXT  what to call it (default: what the program calls itself, as systemd-boot does)
  --json          print one JSON object: changed, did, warnings, next`,
  options: { version: { type: "string" }, json: { type: "boolean" } },
  positionals: ["DIR"],
  async run(values, [directory = ""]) {
    const order = { directory, version: text(values, "version") ?? null };
    const { did, warnings } = await installBootloader(linuxKernel(), PLACES, order);
    print({ changed: true, did, warnings, next: "reboot (systemctl reboot) to try it." }, flag(values, "json"));
    return 0;
  },
};
