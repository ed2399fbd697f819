import { editionText } from "../../../boot/bootloader/edition.ts";
import { Refusal } from "../../../state-ops/outcome.ts";
import { type Settled, settleBootloaders } from "../../bootloader/settle.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { type CommandAnswer, print } from "../answer.ts";
import { LOCK_WAIT } from "../change-record.ts";
import { PLACES } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";

/** Throws Refusal where a trial waits that this boot says nothing of. */
function answerOf({ settlement, changed, did, warnings }: Settled): CommandAnswer {
  const { fate, record } = settlement;
  if (fate.is === "armed" && record.trial !== null)
    throw new Refusal(`${editionText(record.trial.edition)} was not started yet; reboot into it, and commit then`);
  const nothing = changed ? [] : ["The bootloader that runs is committed: nothing to change."];
  return { changed, did: [...did, ...nothing], warnings, next: "nothing to do." };
}

export const verb: Verb = {
  help: `
Usage: slipway bootloader commit [--json]

Says that the bootloader on trial is good: it is first in the firmware's BootOrder from now on, and the other boot directory's is
second. "slipway commit" does this too. Entries that the firmware forgot, doubled or put elsewhere are put right.

Options:
  --json  print one JSON object: changed, did, warnings, next`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const order = { commit: true, how: "sizes", who: "slipway bootloader commit", waitMs: LOCK_WAIT } as const;
    print(answerOf(settleBootloaders(linuxKernel(), PLACES, order)), flag(values, "json"));
    return 0;
  },
};
