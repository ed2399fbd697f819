/** System images on devices, which are larger than they. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { sampleControlText } from "../samples/control-file.ts";
import { Desk } from "../unit/builder-desk.ts";
import { labels, makeTree } from "./image-tree.ts";

const desk = new Desk();
const build = suite("image on a device");
build.after(() => desk.clear());

build.before(() => {
  makeTree(desk.path("tree"));
  desk.write("control.json", sampleControlText({ system: "acme" }));
  desk.done("keys", "new", "one");
});

build("an image on a device that is larger than it, with and without the device's own footer", () => {
  desk.done("image", "build", "--root", "tree", ...labels, "--control", "control.json", "--key", "one.pem", "-o", "disk.img");
  const image = desk.bytes("disk.img");
  const partition = Buffer.alloc(image.length + 10 * 4096 + 512, 0x5a);
  partition.set(image);
  desk.write("partition", partition);
  const verify = ["image", "verify", "--trust", "one.pub.pem"];
  const on = (use: (device: string) => void) => {
    const device = desk.host("losetup", "--find", "--show", "partition").trim();
    try {
      use(device);
    } finally {
      desk.host("losetup", "--detach", device);
    }
  };
  const { hashOffset } = JSON.parse(desk.done("image", "inspect", "--json", "disk.img"));
  on((device) => {
    assert.match(desk.done(...verify, device), /is right: image of acme 1\.0/);
    const told = JSON.parse(desk.done("image", "inspect", "--json", device));
    assert.equal([told.kind, told.size, told.hashOffset], ["device", image.length, hashOffset]);
    desk.refused(2, /is a device; sign the image in a file/, "image", "attach-signature", device, ...attachment());
  });
  const end = partition.length - (partition.length % 4096);
  partition.set(image.subarray(image.length - 4096), end - 4096);
  desk.write("partition", partition);
  on((device) => void desk.done(...verify, device));
  partition[hashOffset - 1] = (partition[hashOffset - 1] ?? 0) ^ 1;
  desk.write("partition", partition);
  on((device) => desk.refused(1, new RegExp(`: filesystem, byte ${hashOffset - 4096}: `), ...verify, device));
  desk.refused(1, /partition has \d+ bytes, and must have \d+/, ...verify, "partition");
});

/** Options of attach-signature with some signature. */
function attachment(): string[] {
  desk.write("signature", Buffer.alloc(64));
  return ["--signature", "signature", "--public-key", "one.pub.pem"];
}

build.run();
