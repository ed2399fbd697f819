/** `bun update-worker.ts DIRECTORY RUNS`, in a mount namespace of its own: a line of JSON for each update that was timed. */
import { copyFileSync, mkdirSync } from "node:fs";
import { BLOCK } from "../../boot/image/verity.ts";
import { tellOfMachine } from "../../qemu/host-machine.ts";
import { readSealedFile } from "../../qemu/missing-blocks.ts";
import { startNginx } from "../../qemu/nginx.ts";
import { runProgram } from "../../qemu/program.ts";
import { pairSystem, updatePair } from "../../qemu/update-pair.ts";
import { contestants, served } from "./update-contestants.ts";
import { Slot, type UpdateWorld } from "./update-world.ts";

const [directory = "", runs = "1"] = process.argv.slice(2);

await runProgram("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
const pair = await updatePair();
const [older, newer] = [pair.older, pair.newer].map(readSealedFile);
if (older === undefined || newer === undefined) throw new Error("a pair has two images");
const slotBytes = Math.max(older.size, newer.size) + 16 * 1024 ** 2;
const www = `${directory}/www`;
mkdirSync(www);
const server = await startNginx({ root: www });
const world: UpdateWorld = {
  pair,
  directory,
  url: server.url,
  www,
  running: await Slot.make(`${directory}/slot-a`, slotBytes),
  target: await Slot.make(`${directory}/slot-b`, slotBytes),
};
const all = contestants();
try {
  copyFileSync(pair.newer, `${www}/${served}`);
  for (const contestant of all) await contestant.publish?.(world);
  for (let run = 1; run <= Number(runs); run++) {
    for (const contestant of all) {
      await world.running.fill(contestant.older === false ? null : pair.older);
      await world.target.fill(null);
      const slots = { a: world.running.device, b: world.target.device };
      await tellOfMachine({ system: pairSystem, key: pair.key, slots, running: older.seal.manifest.rootHash, directory });
      await contestant.prepare?.(world);
      const before = server.requests().length;
      const began = performance.now();
      await contestant.install(world);
      world.target.sync();
      const ms = performance.now() - began;
      // In a slot the footer lies at the partition's end.
      await world.target.check(pair.newer, newer.size - BLOCK);
      const requests = server.requests().slice(before);
      const bytes = requests.reduce((sum, request) => sum + request.bytes, 0);
      console.log(JSON.stringify({ name: contestant.name, bytes, requests: requests.length, ms }));
    }
  }
} finally {
  for (const contestant of all) await contestant.close?.();
  await server.stop();
  world.running.close();
  world.target.close();
}
