/** A machine whose sources have names: PID 1 asks name servers, with nothing for that in the initrd but the C library. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { fillWithGarbage } from "../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { type Addresses, startNameServer } from "../../qemu/name-server.ts";
import { committedMachine, offer, recoverySystem, serve, signedImage } from "./support/recovery-ground.ts";
import { smallControl, smallImage } from "./support/small-image.ts";
import { smallInitrd, startSmall, toEnd } from "./support/small-machine.ts";

const v1 = signedImage("v1", 3);
const plain = await serve();
/** Whoever asks it at its IPv4 address is asked to log in. */
const portal = await serve({ ipv6: true, lines: ['if ($server_addr = "127.0.0.1") { return 200 "<html>Log in</html>"; }'] });
const host: Addresses = { ipv4: "10.0.2.2" };
const host6: Addresses = { ipv6: Uint8Array.of(0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2) };
const names = await startNameServer((name) => {
  if (name === "updates.slipway.example") return host;
  // As the name servers of two networks have it.
  if (name === "moving.slipway.example") return portal.server.requests().length === 0 ? host : host6;
  return null;
});
test.after(async () => {
  await Promise.all([plain.stop(), portal.stop(), names.stop()]);
});

const base = await recoverySystem('sources: ["http://updates.slipway.example/v1.img"]');
const file = await smallImage(v1, await smallControl(base));
for (const { www } of [plain, portal]) offer(www, "v1.img", file);
const machine = await committedMachine(base, v1);
for (const slot of ["a", "b"]) fillWithGarbage(machine.disk, `root-${slot}`);

test("a source has a name, and the first name server does not answer", async () => {
  const source = `http://updates.slipway.example:${plain.server.port}/v1.img`;
  // Nobody is at 10.0.2.99.
  const network = "network: [{ addresses: [10.0.2.77/24], gateways: [10.0.2.2], nameservers: [10.0.2.99, 10.0.2.2] }]";
  const initrd = await smallInitrd(await recoverySystem(`sources: ["${source}"]\n${network}`));
  const told = await toEnd(await startSmall(machine, { initrd, disks: [{ file: throwAwayCopy(machine.disk) }], net: [{}] }));
  assert.is(told.root, "v1");
  assert.is(told.report.recovery?.steps.at(-1)?.installed?.source, source);
  assert.ok(names.asked.includes("updates.slipway.example"));
});

test("a name that leads to a portal at first is asked for again at once", async () => {
  const at = `http://moving.slipway.example:${portal.server.port}`;
  const initrd = await smallInitrd(await recoverySystem(`sources: ["${at}/first.img", "${at}/v1.img"]`));
  const told = await toEnd(
    await startSmall(machine, {
      initrd,
      disks: [{ file: throwAwayCopy(machine.disk) }],
      net: [{}],
      append: "nameserver=10.0.2.2",
    }),
  );
  assert.is(told.root, "v1");
  // No step came to nothing: 30 s later, in the next round, it would have led there anyway.
  assert.equal(
    told.report.recovery?.steps.map(({ outcome }) => outcome),
    ["booted"],
  );
});

test.run();
