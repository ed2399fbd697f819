import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Architecture } from "../../boot/architecture.ts";
import { filesForAlias } from "../../boot/modules.ts";
import { parseModuleDirectory } from "../../init/builder/initrd/depmod.ts";
import { selectModules } from "../../init/builder/initrd/select-modules.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const directory = parseModuleDirectory({
  dep: [
    "kernel/drivers/block/loop.ko.xz:",
    "kernel/fs/squashfs/squashfs.ko.xz:",
    "kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz",
    "kernel/drivers/virtio/virtio.ko.xz:",
    "kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz",
    "kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz",
    "kernel/lib/libcrc32c.ko.xz:",
    "kernel/arch/x86/crypto/crc32c-intel.ko.xz:",
    "kernel/drivers/mmc/host/sdhci-pci.ko.xz:",
  ].join("\n"),
  builtin: "kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c_generic.ko\n",
  alias: [
    "# Aliases extracted from modules themselves.",
    "alias fs-xfs xfs",
    "alias crc32c crc32c_intel",
    "alias virtio:d00000002v* virtio_blk",
    "alias pci:v*d*sv*sd*bc08sc05i* sdhci_pci",
  ].join("\n"),
  softdep: "# Soft dependencies\nsoftdep libcrc32c pre: crc32c post: loop\n",
});

test("named modules are loaded in order, each after what it needs", () => {
  const { index, files, absent } = selectModules(directory, "6.1-test", "x86-64", ["virtio-blk"]);
  assert.equal(index.load, ["virtio.ko", "virtio_ring.ko", "virtio_blk.ko"]);
  assert.equal(
    files.map((file) => file.name),
    ["loop.ko", "squashfs.ko", "virtio.ko", "virtio_blk.ko", "virtio_ring.ko"],
  );
  assert.equal(index.depends["virtio_blk.ko"], ["virtio.ko", "virtio_ring.ko"]);
  assert.equal(absent, []);
});

test("soft dependencies are taken by alias, and before what asks for them", () => {
  const { index } = selectModules(directory, "6.1-test", "x86-64", ["xfs"]);
  assert.equal(index.load, ["crc32c-intel.ko", "libcrc32c.ko", "xfs.ko"]);
});

test("the default set loads nothing unasked, and says what the kernel has not", () => {
  const { index, preinit, absent } = selectModules(directory, "6.1-test", "x86-64", []);
  assert.equal(index.load, []);
  assert.equal(preinit, ["loop.ko", "squashfs.ko"]);
  assert.equal(filesForAlias(index, "fs-xfs"), ["crc32c-intel.ko", "libcrc32c.ko", "xfs.ko"]);
  assert.equal(filesForAlias(index, "virtio:d00000002v00001AF4"), ["virtio.ko", "virtio_ring.ko", "virtio_blk.ko"]);
  assert.equal(filesForAlias(index, "pci:v00001B36d00000007sv00001AF4sd00001100bc08sc05i01"), ["sdhci-pci.ko"]);
  assert.ok(absent.includes("nvme"));
  assert.not(absent.includes("ext4"));
});

test("each architecture has its own set, and of boards' drivers those that the kernel has", () => {
  const names = ["loop", "squashfs", "sp5100_tco", "sbsa_gwdt", "dw_mmc-rockchip", "rk808-regulator", "phy-rockchip-emmc"];
  const boards = parseModuleDirectory({
    ...{ dep: names.map((name) => `kernel/${name}.ko:\n`).join(""), builtin: "", softdep: "" },
    alias: "alias of:N*T*Crockchip,rk3288-dw-mshc dw_mmc_rockchip\n",
  });
  const files = (architecture: Architecture, named: string[]) =>
    selectModules(boards, "6.1-test", architecture, named).files.map(({ name }) => name);
  assert.equal(files("x86-64", []), ["loop.ko", "sp5100_tco.ko", "squashfs.ko"]);
  assert.equal(files("arm64", []), [
    ...["dw_mmc-rockchip.ko", "loop.ko", "phy-rockchip-emmc.ko", "rk808-regulator.ko", "sbsa_gwdt.ko", "squashfs.ko"],
  ]);
  assert.equal(files("arm64", ["sp5100_tco"]), ["loop.ko", "sp5100_tco.ko", "squashfs.ko"]);
  const { absent, index } = selectModules(boards, "6.1-test", "arm64", []);
  assert.ok(absent.includes("virtio_mmio") && absent.includes("sp805_wdt"));
  assert.not(absent.includes("sunxi_mmc"), "boards' drivers that a kernel has not are its own choice");
  assert.not(absent.includes("lpc_ich"));
  assert.equal(filesForAlias(index, "of:NmmcT(null)Crockchip,rk3288-dw-mshc"), ["dw_mmc-rockchip.ko"]);
});

test("what is part of the kernel needs nothing", () => {
  assert.equal(selectModules(directory, "6.1-test", "x86-64", ["ext4", "crc32c-generic"]).index.load, []);
});

test("an unknown name is refused, with what is near", () => {
  assert.throws(
    () => selectModules(directory, "6.1-test", "x86-64", ["virtio_blck"]),
    (error: unknown) => error instanceof BadInput && /no module "virtio_blck"; near are virtio_blk\b/.test(error.message),
  );
  assert.throws(
    () => selectModules(directory, "6.1-test", "x86-64", ["zzzzzzzz"]),
    (error: unknown) => error instanceof BadInput && error.message.endsWith("no name is near"),
  );
});

test("what dm-verity is made of is there whatever was named, and loaded when it is asked for", () => {
  const withVerity = parseModuleDirectory({
    dep: [
      "kernel/drivers/block/loop.ko.xz:",
      "kernel/fs/squashfs/squashfs.ko.xz:",
      "kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz",
      "kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz",
      "kernel/drivers/md/dm-mod.ko.xz:",
      "kernel/crypto/sha256_generic.ko.xz:",
    ].join("\n"),
    builtin: "",
    alias: "alias crypto-sha256 sha256_generic\n",
    softdep: "",
  });
  for (const named of [[], ["loop"]]) {
    const { index, verity } = selectModules(withVerity, "6.1-test", "x86-64", named);
    assert.ok(verity);
    assert.equal(index.depends["dm-verity.ko"], ["dm-mod.ko", "dm-bufio.ko"]);
    assert.equal(filesForAlias(index, "crypto-sha256"), ["sha256_generic.ko"]);
    assert.not(index.load.includes("dm-verity.ko"));
  }
  const { verity, absent } = selectModules(directory, "6.1-test", "x86-64", []);
  assert.not(verity);
  assert.not(absent.includes("sha2_ce"), "newer kernels need no module for SHA-256");
});

test("a recovery's drivers are there whatever was named: those of the network for a recovery only, media's for all", () => {
  const withNetwork = parseModuleDirectory({
    dep: [
      "kernel/drivers/block/loop.ko.xz:",
      "kernel/fs/squashfs/squashfs.ko.xz:",
      "kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz",
      "kernel/net/core/failover.ko.xz:",
      "kernel/net/packet/af_packet.ko.xz:",
      "kernel/fs/fat/vfat.ko.xz: kernel/fs/fat/fat.ko.xz",
      "kernel/fs/fat/fat.ko.xz:",
    ].join("\n"),
    builtin: "",
    alias: "alias virtio:d00000001v* virtio_net\nalias fs-vfat vfat\n",
    softdep: "",
  });
  const selected = (named: string[], network: boolean, media: boolean) =>
    selectModules(withNetwork, "6.1-test", "x86-64", named, { network, media, loader: false }).index;
  assert.equal(selected(["loop"], false, false).recovery, []);
  assert.not("virtio_net.ko" in selected(["loop"], false, false).depends);
  const index = selected(["loop"], true, true);
  assert.equal(index.recovery, ["af_packet.ko", "failover.ko", "virtio_net.ko"]);
  assert.equal(filesForAlias(index, "fs-vfat"), ["fat.ko", "vfat.ko"]);
  assert.equal(index.load, ["loop.ko"]);
  // Whoever names it wants it at every boot.
  const listed = selected(["virtio_net"], true, false);
  assert.equal([listed.load, listed.recovery], [["failover.ko", "virtio_net.ko"], ["af_packet.ko"]]);
});

test.run();
