import { BadInput } from "../../../state-ops/outcome.ts";
import { readControlInput } from "../../builder/control-input.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { PLACES } from "../machine.ts";
import { flag, text, type Verb } from "../verb.ts";
import { migrateStore } from "./migration.ts";

export const verb: Verb = {
  help: `
Usage: slipway store migrate --to CONTROL [--json]

Moves from the bootloader's store, and the place of the boot record, that the running initrd has to those of another control
file: from slipway's own record to GRUB's environment block, from a partition to a file on the data filesystem, and back. It must
be for the same machine with the same slots.

The new store is written first and read back, then the record's new place with the boot journal. What the running initrd uses is
not touched and stays in use: a power cut at any moment leaves the machine as it was, and booting the present initrd goes back
afterwards too. Two dialects of one store cannot stand beside each other: there the first boot of the new initrd writes the new
one. Refused while the running image is on trial. Doing it twice does no harm.

Then install the initrd of the new control file, have the bootloader read the new store, and reboot. The new initrd reads the
record at its own place only, and begins one from its store where there is none.

Options:
  --to CONTROL   control file of the new initrd, from slipway state compile
  --json         print one JSON object: changed, did, next`,
  options: { to: { type: "string" }, json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const file = text(values, "to");
    if (file === undefined) throw new BadInput("--to is missing; it names the control file of the new initrd");
    const { control } = readControlInput(`--to ${file}`, file);
    const migration = migrateStore(linuxKernel(), PLACES, control);
    if (flag(values, "json")) console.log(JSON.stringify({ schema: 1, ...migration }));
    else {
      for (const line of migration.did) console.log(line);
      console.log(`Next: ${migration.next}`);
    }
    return 0;
  },
};
