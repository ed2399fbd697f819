import { settleBootloaders } from "../../bootloader/settle.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { print } from "../answer.ts";
import { LOCK_WAIT } from "../change-record.ts";
import { PLACES } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";

export const verb: Verb = {
  help: `
Usage: slipway bootloader check [--json]

Puts the firmware's boot entries right where it forgot, doubled, switched off or reordered them, and says what became of a trial.
Every file of both boot directories is read and compared with what was written: a committed bootloader that is damaged gives way
to the other one. "slipway commit" does the same at each good boot, without reading the files.

Options:
  --json  print one JSON object: changed, did, warnings, next`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const order = { commit: false, how: "whole", who: "slipway bootloader check", waitMs: LOCK_WAIT } as const;
    const { settlement, changed, did, warnings } = settleBootloaders(linuxKernel(), PLACES, order);
    const nothing = changed ? [] : ["The firmware's boot entries are as they should be."];
    const isDamaged = settlement.wanted.first === null || settlement.wanted.second === null;
    const next = isDamaged ? 'run "slipway bootloader install DIR".' : "nothing to do.";
    print({ changed, did: [...did, ...nothing], warnings, next }, flag(values, "json"));
    return 0;
  },
};
