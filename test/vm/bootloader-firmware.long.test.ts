/** A real firmware that forgets, doubles, switches off and reorders its boot entries, seen and changed by the real efibootmgr. */
import { copyFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FACTORY_VARIABLES } from "../../qemu/firmware.ts";
import { COMMIT, DIRECTORIES, install, orderShown, PROGRAM, readyMachine, STATUS } from "./support/bootloader-ground.ts";
import { part } from "./support/small-machine.ts";

const [FACTORY_A, FACTORY_B] = DIRECTORIES;

test("firmware that forgot all its variables, and firmware that reorders, doubles and drops them", async () => {
  const machine = await readyMachine();
  await machine.run(install("one"));
  assert.equal((await machine.run(COMMIT)).loaders, ["one"]);
  copyFileSync(FACTORY_VARIABLES, machine.variables);
  const forgot = await machine.run(`report before slipway bootloader status\n${COMMIT}${STATUS}`);
  assert.equal(forgot.loaders, ["last resort"]);
  assert.match(part(forgot, "before"), /The firmware's entries are not as they should be/);
  assert.equal(orderShown(forgot), [`${FACTORY_B}/000001`.toLowerCase(), FACTORY_A.toLowerCase()]);
  const changes = `shown=$(efibootmgr -v)
first=$(echo "$shown" | sed -n 's/^Boot\\([0-9A-F]*\\).*slipway-b.000001.*/\\1/p')
second=$(echo "$shown" | sed -n 's/^Boot\\([0-9A-F]*\\).*slipway-a.${PROGRAM}.*/\\1/p')
rest=$(echo "$shown" | sed -n 's/^BootOrder: //p' | tr , '\\n' | grep -vx -e "$first" -e "$second" | head -1)
report reorder efibootmgr -o $rest,$second,$first
report double efibootmgr -c -d /dev/vda -p 2 -L twice -l '\\EFI\\slipway-b\\000001\\${PROGRAM}'
report foreign efibootmgr -C -d /dev/vda -p 1 -L "another system" -l '\\EFI\\other\\grubx64.efi'
report inactive efibootmgr -b $second -A
report wrong slipway bootloader status
report check slipway bootloader check
${STATUS}`;
  const reordered = await machine.run(changes);
  assert.equal(reordered.loaders, ["one"]);
  assert.equal(orderShown(reordered), [`${FACTORY_B}/000001`.toLowerCase(), FACTORY_A.toLowerCase()], part(reordered, "shown"));
  assert.match(part(reordered, "check"), /it is there twice/);
  assert.match(part(reordered, "check"), /its entry is switched off/);
  assert.match(part(reordered, "shown"), /another system/);
  const global = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
  const dropped = `for n in $(efibootmgr -v | sed -n 's/^Boot\\([0-9A-F]*\\).*slipway-[ab].*/\\1/p'); do rm $E/Boot$n-${global}; done
report gone efibootmgr -v
`;
  const gone = await machine.run(`${dropped}${STATUS}`);
  assert.equal(gone.loaders, ["one"]);
  assert.not.match(part(gone, "gone"), /slipway/);
  const back = await machine.run(`${COMMIT}${STATUS}`);
  assert.equal(back.loaders, ["last resort"]);
  assert.equal(orderShown(back), [`${FACTORY_B}/000001`.toLowerCase(), FACTORY_A.toLowerCase()]);
  assert.equal((await machine.run(STATUS)).loaders, ["one"]);
});

test.run();
