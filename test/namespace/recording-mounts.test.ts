import { mkdtempSync, rmdirSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MNT, MS, O } from "../../init/kernel/constants.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { type Bench, bench, names, results, type Step, text, using } from "../unit/file-scripts.ts";
import "./own-mounts.ts";

const listed = (b: Bench, path: string): unknown => using(b, path, O.RDONLY | O.DIRECTORY, (fd) => names(b, fd));
const directories = (b: Bench, ...paths: string[]): void => {
  for (const path of paths) b.kernel.makeDirectory(path, 0o755, b.top);
};
const bind = (b: Bench, from: string, to: string, flags = 0): void =>
  b.kernel.mount(`${b.path}/${from}`, `${b.path}/${to}`, "", MS.BIND | flags, "");
const overlay = (b: Bench, options: string): void =>
  b.kernel.mount("overlay", `${b.path}/merged`, "overlay", 0, options.replaceAll("@", b.path));

/** The directory of the scripts is a tmpfs of its own, made by the test. */
const scripts: Record<string, Step[]> = {
  "mounts and what they refuse": [
    (b) => directories(b, "m", "n", "n/below"),
    (b) => b.put("file", "x"),
    (b) => b.kernel.mount("tmpfs", `${b.path}/file`, "tmpfs", 0, ""),
    (b) => b.kernel.mount("tmpfs", `${b.path}/none`, "tmpfs", 0, ""),
    (b) => b.kernel.mount("/dev/missing", `${b.path}/m`, "ext4", 0, ""),
    (b) => b.kernel.mount("tmpfs", `${b.path}/m`, "tmpfs", MS.NODEV, "mode=0750"),
    (b) => b.kernel.statusAt("m", b.top).mode,
    (b) => b.put("m/inside", "inside"),
    (b) => b.kernel.rename("m/inside", "outside", { at: b.top }),
    (b) => b.kernel.makeHardLink("m/inside", "hard", b.top),
    (b) => b.kernel.remove("m", { at: b.top, directory: true }),
    (b) => b.kernel.rename("m", "elsewhere", { at: b.top }),
    (b) => b.kernel.makeNode("m/null", "character", 0o666, { major: 1, minor: 3 }, b.top),
    (b) => b.tryOpen("m/null", O.RDONLY),
    (b) => b.tryOpen("m/../file", O.RDONLY),
    (b) => b.kernel.mount("tmpfs", `${b.path}/m`, "tmpfs", MS.REMOUNT | MS.RDONLY, ""),
    (b) => b.tryOpen("m/inside", O.WRONLY),
    (b) => b.tryOpen("m/new", O.WRONLY | O.CREAT),
    (b) => b.tryOpen("m/inside", O.RDONLY | O.CREAT),
    (b) => b.kernel.makeDirectory("m/inside", 0o755, b.top),
    (b) => b.kernel.makeDirectory("m/new", 0o755, b.top),
    (b) => b.kernel.remove("m/new", { at: b.top }),
    (b) => b.kernel.remove("m/inside", { at: b.top }),
    (b) => b.kernel.changeOwner("m/inside", 1, 1, b.top),
    (b) => b.kernel.rename("m/inside", "m/other", { at: b.top }),
    (b) => b.kernel.setAttribute(`${b.path}/m/inside`, "trusted.x", new Uint8Array(1)),
    (b) => using(b, "m/inside", O.RDONLY, () => b.kernel.unmount(`${b.path}/m`, 0)),
    (b) => b.kernel.unmount(`${b.path}/m/inside`, 0),
    (b) => b.kernel.unmount(`${b.path}/m`, 0),
    (b) => listed(b, "m"),
  ],
  "binds, moves, detached mounts": [
    (b) => directories(b, "a", "a/in", "b", "c", "d"),
    (b) => b.put("a/file", "one"),
    (b) => b.put("single", "two"),
    (b) => b.kernel.mount("tmpfs", `${b.path}/a/in`, "tmpfs", 0, ""),
    (b) => b.put("a/in/deep", "three"),
    (b) => bind(b, "a", "b"),
    (b) => listed(b, "b"),
    (b) => listed(b, "b/in"),
    (b) => bind(b, "a", "c", MS.REC),
    (b) => listed(b, "c/in"),
    (b) => bind(b, "single", "a"),
    (b) => bind(b, "a", "single"),
    (b) => bind(b, "single", "b/file"),
    (b) => text(b, "b/file"),
    (b) => text(b, "a/file"),
    (b) => b.kernel.remove("a/file", { at: b.top }),
    (b) => b.kernel.mount("none", `${b.path}/b`, "", MS.REMOUNT | MS.BIND | MS.RDONLY, ""),
    (b) => b.tryOpen("b/new", O.WRONLY | O.CREAT),
    (b) => b.tryOpen("a/new", O.WRONLY | O.CREAT),
    (b) => b.kernel.mount("none", `${b.path}/a`, "", MS.REMOUNT | MS.BIND | MS.RDONLY, ""),
    (b) => b.kernel.mount(`${b.path}/a`, `${b.path}/d`, "", MS.MOVE, ""),
    (b) => b.kernel.mount(`${b.path}/c`, `${b.path}/c/in`, "", MS.MOVE, ""),
    (b) => b.kernel.mount(`${b.path}/c`, `${b.path}/single`, "", MS.MOVE, ""),
    (b) => b.kernel.mount(`${b.path}/c`, `${b.path}/d`, "", MS.MOVE, ""),
    (b) => listed(b, "d"),
    (b) => listed(b, "d/in"),
    (b) => listed(b, "c"),
    (b) => using(b, "d/in", O.RDONLY | O.DIRECTORY, (fd) => b.tryOpen(`/proc/self/fd/${fd}/..`, O.RDONLY)),
    (b) => b.kernel.unmount(`${b.path}/d`, 0),
    (b) =>
      using(b, "d/in", O.RDONLY | O.DIRECTORY, (fd) => {
        b.kernel.unmount(`${b.path}/d`, MNT.DETACH);
        return names(b, fd);
      }),
    (b) => listed(b, "d"),
    (b) => b.kernel.unmount(`${b.path}/b/file`, 0),
    (b) => b.kernel.unmount(`${b.path}/b`, 0),
    (b) => b.kernel.unmount(`${b.path}/a/in`, 0),
    (b) => listed(b, "a"),
  ],
  overlays: [
    (b) => directories(b, "lower", "lower/dir", "lower/dir/sub", "lower/gone", "upper", "work", "merged"),
    (b) => b.put("lower/file", "lower"),
    (b) => b.put("lower/dir/kept", "kept"),
    (b) => b.put("lower/removed", "removed"),
    (b) => b.kernel.makeSymlink("file", "lower/link", b.top),
    (b) => overlay(b, "upperdir=@/upper,workdir=@/work"),
    (b) => overlay(b, "lowerdir=@/none,upperdir=@/upper,workdir=@/work"),
    (b) => overlay(b, "lowerdir=@/lower,upperdir=@/upper"),
    (b) => overlay(b, "lowerdir=@/lower,upperdir=@/upper,workdir=@/work,index=off,metacopy=off,redirect_dir=off,xino=off"),
    (b) => listed(b, "merged"),
    (b) => b.put("merged/file", "UPPER"),
    (b) => [text(b, "merged/file"), text(b, "lower/file"), text(b, "merged/link")],
    (b) => b.kernel.remove("merged/removed", { at: b.top }),
    (b) => b.kernel.remove("merged/gone", { at: b.top, directory: true }),
    (b) => b.kernel.remove("merged/dir", { at: b.top, directory: true }),
    (b) => b.kernel.rename("merged/dir", "merged/renamed", { at: b.top }),
    (b) => b.kernel.rename("merged/dir/kept", "merged/moved", { at: b.top }),
    (b) => directories(b, "merged/gone", "merged/fresh", "merged/fresh/in"),
    (b) => b.kernel.rename("merged/fresh", "merged/dir/fresh", { at: b.top }),
    (b) => b.put("merged/dir/sub/new", "new"),
    (b) => using(b, "merged/link", O.PATH | O.NOFOLLOW, () => b.kernel.changeOwner("merged/link", 7, 7, b.top)),
    (b) => b.kernel.statusAt("merged/link", b.top).owner,
    (b) => b.kernel.statusAt("lower/link", b.top).owner,
    (b) => [listed(b, "merged"), listed(b, "merged/dir"), listed(b, "merged/dir/sub"), listed(b, "merged/gone")],
    (b) => [listed(b, "upper"), listed(b, "upper/dir"), listed(b, "upper/dir/sub")],
    (b) => listed(b, "lower"),
    (b) => b.kernel.getAttribute(`${b.path}/upper/gone`, "trusted.overlay.opaque"),
    (b) => b.kernel.unmount(`${b.path}/merged`, 0),
    (b) => overlay(b, "lowerdir=@/upper:@/lower"),
    (b) => [listed(b, "merged"), listed(b, "merged/dir"), listed(b, "merged/gone")],
    (b) => b.tryOpen("merged/file", O.WRONLY),
    (b) => b.kernel.unmount(`${b.path}/merged`, 0),
  ],
};

const real = linuxKernel();
real.privateMounts();

for (const [name, steps] of Object.entries(scripts)) {
  test(`same as Linux: ${name}`, () => {
    const place = mkdtempSync("/tmp/slipway-recording-");
    const recording = new RecordingKernel({ initramfs: { tmp: {} } });
    for (const [kernel, path] of [
      [real, place],
      [recording, "/tmp"],
    ] as const) {
      kernel.mount("tmpfs", path, "tmpfs", 0, "");
    }
    try {
      assert.fixture(results(steps, bench(recording, "/tmp")), results(steps, bench(real, place)));
    } finally {
      real.unmount(place, MNT.DETACH);
      rmdirSync(place);
    }
  });
}

test.run();
