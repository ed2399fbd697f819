/** The power fails at random moments of a recovery: the next boot goes on with it, and fetches no block twice that it had. */

import { statSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fillWithGarbage } from "../../qemu/disk-partitions.ts";
import { startUnsteadyRelay } from "../../qemu/unsteady-relay.ts";
import { randomNumbers } from "../samples/random.ts";
import { noise } from "./support/install-subject.ts";
import { committedMachine, offer, recoverySystem, serve, signedImage } from "./support/recovery-ground.ts";
import { smallControl, smallImage } from "./support/small-image.ts";
import { part, smallInitrd, startSmall, toEnd } from "./support/small-machine.ts";

const cuts = process.env.SLIPWAY_TIER === "long" ? 10 : 4;
const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}; SLIPWAY_SEED=${seed} cuts at the same moments`);
const random = randomNumbers(seed);

const served = await serve();
// Slow enough that the moments lie in the download as well as around it.
const relay = await startUnsteadyRelay({ to: served.server.port, rate: 1_000_000 });
test.after(async () => {
  await relay.close();
  await served.stop();
});
const system = await recoverySystem(`sources: ["http://10.0.2.2:${relay.port}/v1.img"]`);
const v1 = signedImage("v1", 3, { files: { "/srv/noise": noise("recovery", 6_000_000) } });
const file = await smallImage(v1, await smallControl(system));
offer(served.www, "v1.img", file);
const machine = await committedMachine(system, v1);
const initrd = await smallInitrd(system);
const net = [{}];

test(`${cuts} power cuts at random moments of a recovery, and the boot after them ends in the system`, async () => {
  const first = await toEnd(await startSmall(machine, { net, initrd }));
  for (const slot of ["a", "b"]) fillWithGarbage(machine.disk, `root-${slot}`);
  for (let cut = 1; cut <= cuts; cut++) {
    const running = await startSmall(machine, { net, initrd });
    await running.expect("Run /init");
    const afterMs = 500 + Math.floor(random() * 9_000);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, afterMs)), running.exited]);
    await running.cutPower();
    console.log(`cut ${cut}: ${afterMs} ms after /init; ${sent()} bytes were sent until then`);
  }
  const told = await toEnd(await startSmall(machine, { net, initrd }));
  assert.is(told.root, "v1");
  assert.is(part(told, "machine-id"), part(first, "machine-id"));
  assert.is(part(told, "notes"), "written by v1");
  const size = statSync(file).size;
  console.log(`${sent()} bytes were sent in all for an image of ${size}`);
  // Every boot asks for seal and tree anew, and what was under way at a cut is lost: some MiB each at most.
  assert.ok(sent() < size + (cuts + 1) * 6 * 1024 * 1024);
});

const sent = (): number => served.server.requests().reduce((sum, { bytes }) => sum + bytes, 0);

test.run();
