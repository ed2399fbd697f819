import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { cloneTree } from "../../init/state/clone-tree.ts";
import {
  cleanUp,
  countingKernel,
  extents,
  filesystems,
  kernel,
  look,
  makeFilesystem,
  mountDisk,
  mountTmpfs,
  scratch,
  unmountAll,
} from "./state-machine.ts";
import { MiB, plantTree } from "./state-tree.ts";

for (const type of filesystems) {
  test(`${type}: a clone keeps everything`, () => {
    const disk = mountDisk(type, makeFilesystem(type));
    try {
      plantTree(disk.data);
      const before = look(disk.data, "tree");
      const counting = countingKernel();
      const progress: [number, number][] = [];
      const result = cloneTree(
        counting.kernel,
        { at: disk.data, name: "tree" },
        { at: disk.data, name: "copy" },
        { onProgress: (bytes, files) => progress.push([bytes, files]), dropOptionalAttributes: false },
      );
      assert.is(counting.open.size, 0);
      assert.equal(look(disk.data, "copy"), before);
      assert.equal(look(disk.data, "tree"), before, "the source is not touched, access times included");
      assert.equal(extents(disk.data, "copy/sparse"), extents(disk.data, "tree/sparse"));
      assert.ok((extents(disk.data, "copy/sparse")[0]?.[0] ?? 0n) > 30n * MiB, "the hole is there");
      assert.is(result.files, Object.keys(before).length);
      assert.ok(result.bytes >= 9 * 1024 * 1024);
      assert.ok(progress.length >= (type === "ext4" ? 3 : 1), `progress was reported ${progress.length} times`);
    } finally {
      disk.close();
    }
  });
}

test("a clone into a tmpfs keeps what a tmpfs knows, and names what it left out", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  const place = `${scratch}/memory`;
  mountTmpfs(place);
  const memory = kernel.open(place, O.RDONLY | O.DIRECTORY);
  try {
    plantTree(disk.data);
    const options = { onProgress: () => {}, dropOptionalAttributes: true };
    const { lostAttributes } = cloneTree(kernel, { at: disk.data, name: "tree" }, { at: memory, name: "tree" }, options);
    const strip = (tree: Record<string, unknown>) =>
      JSON.stringify(tree, (key, value: unknown) => {
        if (lostAttributes.includes(key)) return undefined;
        return typeof value === "bigint" ? `${value}` : value;
      });
    assert.is(strip(look(memory, "tree")), strip(look(disk.data, "tree")));
    assert.ok(lostAttributes.every((name) => name.startsWith("user.")));
  } finally {
    kernel.close(memory);
    unmountAll(place);
    disk.close();
  }
});

test("sockets and an overlay's origin marks are left out, foreign overlay marks are refused", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  const clone = (name: string) =>
    cloneTree(
      kernel,
      { at: disk.data, name },
      { at: disk.data, name: `${name}-copy` },
      { onProgress: () => {}, dropOptionalAttributes: false },
    );
  try {
    kernel.makeDirectory("upper", 0o755, disk.data);
    kernel.makeNode("upper/socket", "socket", 0o666, { major: 0, minor: 0 }, disk.data);
    kernel.makeDirectory("upper/inner", 0o755, disk.data);
    kernel.setAttribute(`${disk.place}/upper/inner`, "trusted.overlay.origin", Buffer.from("x"));
    kernel.setAttribute(`${disk.place}/upper/inner`, "trusted.overlay.uuid", Buffer.from("x"));
    clone("upper");
    const copy = look(disk.data, "upper-copy");
    assert.equal(Object.keys(copy), [".", "./inner"]);
    assert.equal(kernel.listAttributes(`${disk.place}/upper-copy/inner`), []);
    kernel.setAttribute(`${disk.place}/upper/inner`, "trusted.overlay.redirect", Buffer.from("/x"));
    kernel.makeDirectory("outer", 0o755, disk.data);
    kernel.rename("upper", "outer/upper", { at: disk.data });
    assert.throws(() => clone("outer"), /\.\/upper\/inner: the attribute trusted\.overlay\.redirect/);
  } finally {
    disk.close();
  }
});

test.after(cleanUp);
test.run();
