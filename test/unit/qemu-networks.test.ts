import { test } from "uvu";
import * as assert from "uvu/assert";
import { networkWords } from "../../qemu/networks.ts";

test("a card alone hangs on QEMU's NAT; one behind which is nobody hangs on a switch of its own", () => {
  assert.equal(networkWords([{}, { behind: "nobody", model: "e1000" }]), [
    ...["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="],
    ...["-netdev", "hubport,id=net1,hubid=1", "-device", "e1000,netdev=net1,romfile="],
  ]);
});

test("families are switched one by one, and a card on USB brings its bus", () => {
  const words = networkWords([{ model: "usb-net", families: ["ipv6"], hardware: "52:54:00:00:00:01" }]);
  assert.equal(words, [
    ...["-device", "qemu-xhci,id=net-usb", "-netdev", "user,id=net0,ipv4=off,ipv6=on"],
    ...["-device", "usb-net,netdev=net0,mac=52:54:00:00:00:01,bus=net-usb.0"],
  ]);
});

test("no card, no word", () => {
  assert.equal(networkWords([]), []);
});

test.run();
