import { rollBackBootloader } from "../../bootloader/rollback.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { print } from "../answer.ts";
import { PLACES } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";

export const verb: Verb = {
  help: `
Usage: slipway bootloader rollback [--json]

Gives up the bootloader on trial, whether it waits or runs. Without a trial, makes the other boot directory's bootloader the one
that boots first. Refused where that one is not whole.

Options:
  --json  print one JSON object: changed, did, warnings, next`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const { did, reboot } = rollBackBootloader(linuxKernel(), PLACES);
    const next = reboot ? "reboot (systemctl reboot)." : "nothing to do.";
    print({ changed: true, did, warnings: [], next }, flag(values, "json"));
    return 0;
  },
};
