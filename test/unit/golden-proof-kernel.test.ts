/** What the kernel makes of a sealed image's proof: none of it, restarts, signatures of its own; and machines without keys. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { cutEverywhere } from "./golden-cuts.ts";
import { World } from "./golden-world.ts";
import { beforeTrial, flip, leftFor, report, sealed, signedControl, v1 } from "./sealed-world.ts";

test("a kernel without dm-verity: signed images do not boot, which says nothing about them", async () => {
  const world = new World({ a: v1, control: signedControl(), verity: null });
  const boot = await world.boot();
  assert.is(boot.end, "reboot restart");
  assert.match(
    boot.kernel.trace,
    /the image cannot be checked: the kernel has no device-mapper .*is the dm_mod module in the initrd\?/,
  );
  assert.is(world.readRecord().record?.slots.a?.damaged, null);
});

test("a device that fails under dm-verity is no damage, and leaves no device behind", async () => {
  const world = await beforeTrial(await sealed(2, { manifest: { rollbackIndex: 5 } }));
  const kernel = world.kernel();
  kernel.failOn({ call: "read", match: /dm-0/, code: "EIO", times: 1 });
  const boot = await world.boot(kernel);
  assert.match(leftFor(boot), /EIO/);
  assert.is(world.readRecord().record?.slots.b?.damaged, null);
});

test("a slot that cannot be undone whole is left all the same: every other step is done, for why it failed first", async () => {
  const noInit = await sealed(2, { manifest: { rollbackIndex: 5 }, tree: { "usr/lib/slipway/control.json": "{}" } });
  for (const [match, said] of [
    [/BLKROSET, \[0\]/, /slot b is not left as it was: .*ENXIO/],
    [/DM_TABLE_STATUS, "slipway-b"/, /DM_TABLE_STATUS, "slipway-b".* = ENXIO/],
  ] as const) {
    const world = await beforeTrial(noInit);
    const kernel = world.kernel();
    // The first times are before anything fails.
    kernel.failOn({ call: "ioctl", match, code: "ENXIO", after: match.source.includes("STATUS") ? 1 : 0 });
    const boot = await world.boot(kernel);
    assert.match(leftFor(boot), /control/);
    assert.match(boot.kernel.trace, /DM_DEV_REMOVE, "slipway-b"/);
    assert.match(boot.kernel.trace, said);
    assert.is(world.readRecord().record?.slots.b?.damaged, null);
  }
});

test("what a slot failed with is told, also where its device cannot be taken away", async () => {
  const world = await beforeTrial(await sealed(2, { manifest: { rollbackIndex: 5 }, spoil: (bytes) => flip(bytes, 3) }));
  const kernel = world.kernel();
  kernel.failOn({ call: "ioctl", match: /DM_DEV_REMOVE, "slipway-b"/, code: "ENOMEM" });
  const boot = await world.boot(kernel);
  assert.is(report(boot).slot, "a");
  assert.match(report(boot).skipped[0]?.reason ?? "", /differs from its hash tree/);
});

test("a kernel that can restart where the device fails is asked to, and one that only says so is not", async () => {
  const world = new World({ a: v1, control: signedControl(), verity: [1, 11, 0] });
  assert.equal(report(await world.boot()).verity?.options, ["restart_on_corruption", "restart_on_error"]);
  const kernel = world.kernel();
  kernel.failOn({ call: "ioctl", match: /restart_on_error/, code: "EINVAL" });
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.equal(report(boot).verity?.options, ["restart_on_corruption"]);
});

test("a signature for the kernel: given to it in both tables, and required where the control file says so", async () => {
  const control = signedControl({ kernelSignature: "required" });
  const kernelSigned = await sealed(1, { manifest: { kernelSignature: Buffer.alloc(600, 7).toString("base64") } });
  const world = new World({ a: v1, b: kernelSigned, control });
  const boot = await world.boot();
  assert.is(report(boot).slot, "b");
  assert.match(
    report(boot).skipped[0]?.reason ?? "",
    /^the seal has no signature for the kernel, and the control file wants one/,
  );
  assert.match(boot.kernel.trace, /^add-key\("slipway-b-root-hash", 600 bytes\)$/m);
  const loads = boot.kernel.trace.match(/DM_TABLE_LOAD.*root_hash_sig_key_desc slipway-b-root-hash/g);
  assert.is(loads?.length, 2);

  for (const [code, reason, damaged] of [
    ["ENOKEY", /^the kernel refuses the signature of the root hash \(ENOKEY\)/, true],
    ["EINVAL", /^the image cannot be checked: the kernel cannot check signatures of root hashes/, false],
  ] as const) {
    const refusing = new World({ a: kernelSigned, b: kernelSigned, control });
    const kernel = refusing.kernel();
    kernel.failOn({ call: "ioctl", match: /DM_TABLE_LOAD, "slipway-a"/, code });
    const refused = await refusing.boot(kernel);
    assert.is(report(refused).slot, "b");
    assert.match(report(refused).skipped[0]?.reason ?? "", reason);
    assert.is(refusing.readRecord().record?.slots.a?.damaged !== null, damaged, code);
  }
});

test("without keys a sealed image is checked by its own tree, a broken seal is damage, and the boot says that nothing is proven", async () => {
  const control = { operators: [] };
  const world = new World({
    a: await sealed(1, { keys: [], spoil: (bytes) => flip(bytes, 0) }),
    b: await sealed(2, { keys: [] }),
    control,
  });
  const boot = await world.boot();
  assert.is(report(boot).slot, "b");
  assert.match(world.readRecord().record?.slots.a?.damaged ?? "", /differs from its hash tree/);
  assert.is(report(boot).proof, "unsigned");
  assert.equal(report(boot).signers, []);
  assert.equal(report(boot).warnings, [UNPROVEN]);
  assert.match(boot.kernel.trace, /<3>slipway: IMAGES ARE NOT PROVEN/);
});

test("without keys and without dm-verity a sealed image is mounted as it is, with a warning", async () => {
  const boot = await new World({ a: await sealed(1), control: { operators: [] }, verity: null }).boot();
  assert.is(boot.root, "/dev/vda2");
  assert.is(report(boot).proof, "none");
  assert.match(
    report(boot).warnings.join("\n"),
    /the image in slot a is not checked block by block: the kernel has no device-mapper/,
  );
});

test("words of the command line weaken nothing", async () => {
  const words = "rw root=/dev/vda3 init=/bin/sh systemd.verity=0 rd.break=proof slipway.slot=b";
  const world = new World({ a: v1, b: await sealed(2, { keys: [] }), control: signedControl(), commandLine: words });
  const boot = await world.boot();
  assert.is(boot.root, "/dev/dm-0");
  assert.is(report(boot).slot, "a");
  assert.is(boot.end, "exec /sbin/init");
  assert.match(report(boot).warnings.join("\n"), /"init=\/bin\/sh" is refused/);
  assert.match(report(boot).skipped[0]?.reason ?? report(boot).rollback?.reason ?? "", /not signed/);
});

test("a boot past a slot that proves nothing, cut at any effect: the next boot comes to the same end", async () => {
  const spoiled = await sealed(2, { manifest: { rollbackIndex: 5 }, spoil: (bytes) => flip(bytes, 7 * 4096 + 9) });
  const world = await beforeTrial(spoiled);
  world.change((record) => ({ ...record, uncleanEnds: 5 }));
  const cuts = await cutEverywhere(world, 256, async (text) => {
    const next = await world.boot();
    assert.is(next.end, "exec /sbin/init", text);
    const { record } = world.readRecord();
    // Where slot a was cut once it was read whole, the count began anew, and slot b is known to be damaged.
    assert.match(record?.slots.b?.damaged ?? "", /^block 7 of the data/, text);
    assert.is(report(next).slot, "a", text);
    assert.is(next.root, "/dev/dm-0", text);
    assert.equal(record?.quarantined, [], text);
  });
  assert.ok(cuts > 40, `${cuts} power cuts`);
});

test.run();
