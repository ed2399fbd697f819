import { bootloaderStatus, statusText } from "../../bootloader/status.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { PLACES } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";

export const verb: Verb = {
  help: `
Usage: slipway bootloader status [--json]

Which bootloader runs, which is committed and which the firmware falls back to, what lies in both boot directories (each install
makes an edition there: a directory of its own, EFI/NAME/000001), and what of the firmware's entries is not as it should be.
Every file is read and compared with what was written. Nothing is changed.

Options:
  --json  print one JSON object: program, running, committed, fallback, trial, failed, directories, firmware, wrong, warnings`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const status = bootloaderStatus(linuxKernel(), PLACES);
    console.log(flag(values, "json") ? JSON.stringify(status) : statusText(status));
    return 0;
  },
};
