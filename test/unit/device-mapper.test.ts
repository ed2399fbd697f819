import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  answerDm,
  DM_FLAG,
  decodeDmRequest,
  dmDevice,
  dmTarget,
  dmTargetVersion,
  encodeDmRequest,
} from "../../boot/image/device-mapper.ts";
import { canRestartOnError, readVerityParameters, verityTarget } from "../../boot/image/verity-table.ts";
import { sealedImage } from "../samples/sealed-image.ts";

const target = { length: 128, type: "verity", parameters: "1 254:2 254:2" };

test("a request lies in memory as the kernel's structures say", () => {
  const bytes = encodeDmRequest({ name: "slipway-a", uuid: "CRYPT-VERITY-x", flags: DM_FLAG.READONLY, target });
  const view = new DataView(bytes.buffer);
  const text = (at: number, length: number) => Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
  assert.is(view.getUint32(0, true), 4, "version of the interface");
  assert.is(view.getUint32(12, true), bytes.length, "data_size");
  assert.is(view.getUint32(16, true), 312, "data_start: sizeof(struct dm_ioctl)");
  assert.is(view.getUint32(20, true), 1, "target_count");
  assert.is(view.getUint32(28, true), 1, "flags");
  assert.is(text(48, 10), "slipway-a\0");
  assert.is(text(176, 15), "CRYPT-VERITY-x\0");
  assert.is(view.getBigUint64(312, true), 0n, "sector_start");
  assert.is(view.getBigUint64(320, true), 128n, "length in sectors");
  assert.is(view.getUint32(332, true), 56, "next: struct dm_target_spec and its parameters, aligned to 8");
  assert.is(text(336, 7), "verity\0");
  assert.is(text(352, 14), "1 254:2 254:2\0");
});

test("what is encoded is decoded, also where the parameters are long", () => {
  const long = { ...target, parameters: "x".repeat(9000) };
  const request = { name: "n", uuid: "", flags: 0, target: long };
  assert.equal(decodeDmRequest(encodeDmRequest(request)), request);
  assert.equal(decodeDmRequest(encodeDmRequest({ name: "n" })), { name: "n", uuid: "", flags: 0, target: null });
});

test("a name that device-mapper has no room for is refused", () => {
  assert.throws(() => encodeDmRequest({ name: "n".repeat(128) }), /128 bytes, device-mapper takes 127/);
  assert.throws(() => encodeDmRequest({ name: "n", uuid: "u".repeat(129) }), /129 bytes, device-mapper takes 128/);
});

test("answers: device numbers of any size, a status, a version", () => {
  for (const device of [
    { major: 253, minor: 0 },
    { major: 254, minor: 255 },
    { major: 511, minor: 70_000 },
  ]) {
    const bytes = encodeDmRequest({ name: "n" });
    answerDm(bytes, { device, target: { length: 8, type: "verity", parameters: "V" } });
    assert.equal(dmDevice(bytes), device);
    assert.equal(dmTarget(bytes), { length: 8, type: "verity", parameters: "V" });
  }
  const bytes = encodeDmRequest({ name: "verity" });
  assert.is(dmTarget(bytes), null);
  answerDm(bytes, { version: [1, 9, 0] });
  assert.equal(dmTargetVersion(bytes), [1, 9, 0]);
});

const { manifest } = await sealedImage(new Uint8Array(300 * 4096));
const device = { major: 254, minor: 2 };

test("the table is the seal's, and nothing else", () => {
  const { rootHash, salt } = manifest;
  const plain = { device, manifest, restartOnError: true, signatureKey: null };
  const common = `1 254:2 254:2 4096 4096 300 301 sha256 ${rootHash} ${salt}`;
  assert.equal(verityTarget({ ...plain, mode: "look" }), { length: 2400, type: "verity", parameters: common });
  const armed = verityTarget({ ...plain, mode: "armed" }).parameters;
  assert.is(armed, `${common} 2 restart_on_corruption restart_on_error`);
  const signed = verityTarget({ ...plain, mode: "armed", restartOnError: false, signatureKey: "k" }).parameters;
  assert.is(signed, `${common} 3 restart_on_corruption root_hash_sig_key_desc k`);
  assert.equal(readVerityParameters(signed)?.options, ["restart_on_corruption", "root_hash_sig_key_desc", "k"]);
});

test("parameters that are no table of ours are none", () => {
  const { parameters } = verityTarget({ device, manifest, mode: "look", restartOnError: false, signatureKey: null });
  for (const wrong of ["", "1", parameters.replace("sha256", "sha1"), `${parameters} 2 one`, parameters.replace("4096", "512")]) {
    assert.is(readVerityParameters(wrong), null, wrong);
  }
});

test("restart_on_error is asked of kernels that know it", () => {
  assert.equal(
    (
      [
        [1, 8, 0],
        [1, 10, 9],
        [1, 11, 0],
        [2, 0, 0],
      ] as const
    ).map((version) => canRestartOnError(version)),
    [false, false, true, true],
  );
});

test.run();
