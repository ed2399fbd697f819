/** The bench's peers: every initrd is made, boots once, and leaves to the next init the mounts that make their times compare. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bootOnce, usualMachine } from "../../scripts/bench/boot.ts";
import { makeGround } from "../../scripts/bench/ground.ts";
import { measurePeers } from "../../scripts/bench/measure.ts";
import { peerNames, peers } from "../../scripts/bench/peers.ts";
import { jsonOf } from "../../scripts/bench/table.ts";

test("every peer boots the same disk to the same next init, with the mounts that are its own to leave", async () => {
  const options = { peers: peerNames, cpus: 1, memory: false, instructions: false, chart: null };
  const { measured } = await measurePeers(1, options, () => {});
  const told = jsonOf(measured).peers;
  assert.equal(
    told.map(({ name }) => name),
    [...peerNames],
  );
  for (const { name, initrdBytes, kernelToInitMs, initToExecMs, kernelToExecMs, heldAfterKiB } of told)
    for (const value of [initrdBytes, kernelToInitMs, initToExecMs, kernelToExecMs, heldAfterKiB])
      assert.ok(value > 0, `${name}: ${value}`);
});

test("with too little memory each ends by itself, so that a search for the least need not wait", async () => {
  const ground = await makeGround();
  const large = peers.filter(({ name }) => ["slipway", "initramfs-tools", "dracut", "dracut-systemd"].includes(name));
  assert.is(large.length, 4);
  for (const { name, makeInitrd, append: words, whenFailing } of large) {
    const { file } = await makeInitrd(ground);
    const append = `panic=-1 ${words} ${whenFailing}`;
    const machine = { ...usualMachine, memoryMiB: 80 };
    try {
      await bootOnce(ground, { name, append }, file, machine, { expectPanic: true });
      assert.unreachable(`${name} boots with ${machine.memoryMiB} MiB`);
    } catch (error) {
      assert.match(String(error), /the machine ended \(guest-reset/, name);
    }
  }
});

test.run();
