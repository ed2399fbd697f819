/** slipway image build: what is in the tree is in the image, the same bytes whoever makes it, and what a boot would miss is said. */
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { randomNumbers } from "../samples/random.ts";
import { Desk } from "../unit/builder-desk.ts";

const desk = new Desk();
const kernel = linuxKernel();
const build = suite("image build");
build.after(() => desk.clear());

const labels = ["--system", "acme", "--version", "1.0"];
const time = 1_700_000_000;
const control = "usr/lib/slipway/control.json";

/** A path in the tree `root`; names are bytes, one character each. */
function at(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
}

/** Paths of everything below `root`, parents first. */
function below(root: string, path = ""): string[] {
  const names = readdirSync(at(root, path), { encoding: "buffer" }).map((name) => name.toString("latin1"));
  return names.sort().flatMap((name) => {
    const inner = path === "" ? name : `${path}/${name}`;
    return lstatSync(at(root, inner)).isDirectory() ? [inner, ...below(root, inner)] : [inner];
  });
}

/** What of everything below `root` an image has to keep. */
function facts(root: string): Map<string, unknown> {
  const inodes = new Map<bigint, string>();
  return new Map(
    ["", ...below(root)].map((path) => {
      const file = at(root, path);
      const { kind, mode, owner, group, modified, inode, size } = kernel.statusAt(file);
      const first = inodes.get(inode) ?? path;
      inodes.set(inode, first);
      const attributes = kernel.listAttributes(file).sort();
      const values = attributes.map((name) => [name, Buffer.from(kernel.getAttribute(file, name)).toString("hex")]);
      const content = kind === "file" ? Bun.hash(readFileSync(file)).toString() : null;
      const target = kind === "symlink" ? Buffer.from(kernel.readLink(file)).toString() : null;
      const bytes = kind === "file" ? size : 0n;
      return [path, { kind, mode, owner, group, modified, first, values, content, target, bytes }];
    }),
  );
}

/** Text that compresses to about half. */
function textOf(random: () => number): (lines: number) => string {
  return (lines) => Array.from({ length: lines }, () => `${Math.floor(random() * 1e9)}\n`.repeat(3)).join("");
}

/** A tree with one of each: owners, modes, attributes, links, a hole, devices' kin, names that are no UTF-8. Made in that order. */
function makeTree(name: string, order: "forward" | "backward" = "forward"): string {
  const root = desk.path(name);
  const text = textOf(randomNumbers(5));
  const files: [string, string][] = Array.from({ length: 60 }, (_, index) => [`usr/lib/file-${index}`, text(index * 60)]);
  files.push(
    ["usr/lib/os-release", "ID=acme\n"],
    ["etc/machine-id", ""],
    ["sbin/init", "#!/bin/sh\n"],
    ["etc/passwd", "root:x:0:0::/:/x\n"],
  );
  if (order === "backward") files.reverse();
  const directories = ["proc", "sys", "dev", "run", "usr/lib", "etc", "sbin", "var/lib", "usr/lib/modules/6.1.0"];
  for (const path of order === "forward" ? directories : directories.reverse()) mkdirSync(join(root, path), { recursive: true });
  for (const [path, content] of files) writeFileSync(join(root, path), content);
  chmodSync(join(root, "sbin/init"), 0o4755);
  chownSync(join(root, "usr/lib/file-3"), 1234, 4321);
  chmodSync(join(root, "usr/lib/file-4"), 0o640);
  linkSync(join(root, "usr/lib/file-5"), join(root, "etc/hard"));
  symlinkSync("/usr/lib/file-6", join(root, "etc/soft"));
  writeFileSync(join(root, "var/lib/hole"), "begin");
  truncateSync(join(root, "var/lib/hole"), 3_000_000);
  kernel.setAttribute(join(root, "usr/lib/file-7"), "user.note", Buffer.from("kept"));
  kernel.setAttribute(
    join(root, "usr/lib/file-8"),
    "security.capability",
    Buffer.from("0100000200200000000000000000000000000000", "hex"),
  );
  kernel.setAttribute(join(root, "usr/lib/file-9"), "trusted.note", Buffer.from("kept too"));
  kernel.makeNode(at(root, "var/lib/\xff"), "fifo", 0o600, { major: 0, minor: 0 });
  const nanoseconds = BigInt(time) * 10n ** 9n;
  for (const path of [...below(root).reverse(), ""]) kernel.changeTimes(at(root, path), nanoseconds, nanoseconds);
  utimesSync(join(root, "usr/lib/file-10"), time - 1000, time - 1000);
  return name;
}

/** Unpacks the filesystem of an image with the field's tools. */
function unpacked(image: string, type: "erofs" | "squashfs"): string {
  const name = `${image}.unpacked`;
  rmSync(desk.path(name), { recursive: true, force: true });
  if (type === "erofs") {
    mkdirSync(desk.path(`${name}.mount`), { recursive: true });
    desk.host("mount", "-t", "erofs", "-o", "ro,loop", image, `${name}.mount`);
    return `${name}.mount`;
  }
  desk.host("unsquashfs", "-quiet", "-no-progress", "-dest", name, image);
  return name;
}

function release(name: string): void {
  if (name.endsWith(".mount")) desk.host("umount", name);
}

build.before(() => {
  makeTree("tree");
  desk.write("control.json", sampleControlText({ system: "acme" }));
  desk.done("keys", "new", "one");
});

const missing = /no \/usr\/bin\/slipway/;

for (const type of ["erofs", "squashfs"] as const) {
  build(`${type}: everything in the tree is in the image, and the control file; the tree is as it was`, () => {
    const before = facts(desk.path("tree"));
    const words = ["--filesystem", type, "--control", "control.json", "--key", "one.pem"];
    const { code, error } = desk.slipway("image", "build", "--root", "tree", ...labels, ...words, "-o", `${type}.img`);
    assert.is(code, 0, error);
    assert.equal(
      error.split("\n").filter((line) => line !== "" && !missing.test(line)),
      [],
    );
    assert.equal(facts(desk.path("tree")), before);
    desk.done("image", "verify", "--trust", "one.pub.pem", `${type}.img`);
    const found = unpacked(`${type}.img`, type);
    try {
      const inside = facts(desk.path(found));
      assert.is(readFileSync(join(desk.path(found), control), "utf8"), desk.text("control.json"));
      const added = [...inside.keys()].filter((path) => !before.has(path));
      assert.equal(added, [dirname(control), control]);
      for (const path of added) {
        assert.is(kernel.statusAt(join(desk.path(found), path)).modified, BigInt(time) * 10n ** 9n, path);
        inside.delete(path);
      }
      for (const [path, fact] of before) assert.equal(inside.get(path), fact, path);
    } finally {
      release(found);
    }
  });
}

build(
  "the same bytes: made later, from a copy, from directories in another order, from an archive, with any time zone",
  async () => {
    const image = (name: string, ...words: string[]) => {
      desk.done("image", "build", ...words, ...labels, "--control", "control.json", "-o", name);
      return desk.bytes(name);
    };
    for (const type of ["erofs", "squashfs"]) {
      const wanted = image("first.img", "--root", "tree", "--filesystem", type);
      await Bun.sleep(1100);
      assert.is(Buffer.compare(image("later.img", "--root", "tree", "--filesystem", type), wanted), 0, `${type}, later`);
      rmSync(desk.path("other"), { recursive: true, force: true });
      makeTree("other", "backward");
      assert.is(Buffer.compare(image("other.img", "--root", "other", "--filesystem", type), wanted), 0, `${type}, other order`);
      // --sparse: squashfs notes what was a hole
      const attributes = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse"];
      desk.host("tar", "--create", ...attributes, "--file", "tree.tar", "--directory", "tree", ".");
      assert.is(Buffer.compare(image("tar.img", "--tar", "tree.tar", "--filesystem", type), wanted), 0, `${type}, archive`);
      desk.host("zstd", "-q", "-f", "tree.tar");
      assert.is(
        Buffer.compare(image("tar.img", "--tar", "tree.tar.zst", "--filesystem", type), wanted),
        0,
        `${type}, compressed`,
      );
      const words = [
        "image",
        "build",
        "--root",
        "tree",
        "--filesystem",
        type,
        ...labels,
        "--control",
        "control.json",
        "-o",
        "zone.img",
      ];
      assert.is(desk.slipwayWith({ TZ: "Asia/Tokyo", LANG: "C" }, ...words).code, 0);
      assert.is(Buffer.compare(desk.bytes("zone.img"), wanted), 0, `${type}, time zone`);
    }
  },
);

build("an archive that names no directories: the same image each time", async () => {
  desk.host("tar", "--create", "--file", "bare.tar", "--directory", "tree", "usr/lib/os-release", "etc/passwd");
  desk.host("tar", "--append", "--file", "bare.tar", "--directory", "tree", "var/lib/hole", "usr/lib/file-59");
  const words = ["image", "build", "--tar", "bare.tar", ...labels, "-o"];
  desk.done(...words, "x.img");
  await Bun.sleep(1100);
  desk.done(...words, "y.img");
  assert.is(Buffer.compare(desk.bytes("x.img"), desk.bytes("y.img")), 0);
});

build("SOURCE_DATE_EPOCH: what is younger becomes that, what is older stays", () => {
  for (const type of ["erofs", "squashfs"] as const) {
    const words = ["image", "build", "--root", "tree", "--filesystem", type, ...labels, "-o", "epoch.img"];
    assert.is(desk.slipwayWith({ SOURCE_DATE_EPOCH: String(time - 500) }, ...words).code, 0);
    const found = unpacked("epoch.img", type);
    try {
      const modified = (path: string) => kernel.statusAt(join(desk.path(found), path)).modified / 10n ** 9n;
      assert.is(modified("usr/lib/file-9"), BigInt(time - 500), type);
      assert.is(modified("usr"), BigInt(time - 500), type);
      assert.is(modified("usr/lib/file-10"), BigInt(time - 1000), type);
    } finally {
      release(found);
    }
    const { code, error } = desk.slipwayWith({ SOURCE_DATE_EPOCH: "yesterday" }, ...words);
    assert.is(code, 2);
    assert.match(error, /SOURCE_DATE_EPOCH is "yesterday"/);
  }
});

build("the control file: one in the tree, the same again, another one in its place, a wrong one", () => {
  cpSync(desk.path("tree"), desk.path("own"), {
    recursive: true,
    preserveTimestamps: true,
    verbatimSymlinks: true,
    filter: notTheFifo,
  });
  mkdirSync(desk.path(`own/${dirname(control)}`), { recursive: true });
  writeFileSync(desk.path(`own/${control}`), desk.text("control.json"));
  const words = ["image", "build", "--root", "own", ...labels, "-o", "own.img"];
  assert.not.match(desk.slipway(...words).error, /control\.json/);
  const same = desk.bytes("own.img");
  assert.not.match(desk.slipway(...words, "--control", "control.json").error, /control\.json/);
  assert.is(Buffer.compare(desk.bytes("own.img"), same), 0);
  desk.write("newer.json", sampleControlText({ system: "acme", deviceTimeout: 31 }));
  assert.match(
    desk.slipway(...words, "--control", "newer.json").error,
    /warning: another usr\/lib\/slipway\/control\.json of the tree is replaced/,
  );
  const found = unpacked("own.img", "erofs");
  assert.is(readFileSync(join(desk.path(found), control), "utf8"), desk.text("newer.json"));
  release(found);
  assert.is(readFileSync(desk.path(`own/${control}`), "utf8"), desk.text("control.json"));
  writeFileSync(desk.path(`own/${control}`), desk.text("control.json").replace("acme", "acne"));
  desk.refused(2, /the control file usr\/lib\/slipway\/control\.json: control file: digest is/, ...words);
  rmSync(desk.path(`own/${control}`));
  assert.match(desk.slipway(...words).error, /warning: no usr\/lib\/slipway\/control\.json/);
  desk.write("foreign.json", sampleControlText({ system: "other" }));
  desk.refused(2, /is for the system "other", --system says "acme"/, ...words, "--control", "foreign.json");
});

function notTheFifo(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFIFO() === false;
}

build("a definition is compiled against the tree on the way, with keys beside it", () => {
  mkdirSync(desk.path("product"), { recursive: true });
  desk.write("product/release.pub.pem", desk.text("one.pub.pem"));
  const system = `system: acme
slots:
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: { keys: [release.pub.pem] }
`;
  desk.write("product/system.yaml", system);
  desk.write("product/x.yaml", "package: x\noperators:\n  - { path: /var/lib, state: persistent }\n");
  const words = ["--definition", "product/system.yaml", "--fragments", "product/x.yaml"];
  const out = desk.done("image", "build", "--root", "tree", ...labels, ...words, "-o", "defined.img");
  assert.match(out, /^compiled: acme, slots a, 1 operators, sha256:.*\nwrote defined\.img: acme 1\.0, erofs/);
  desk.done(
    "state",
    "compile",
    "--system",
    "product/system.yaml",
    "--root",
    "tree",
    "--fragments",
    "product/x.yaml",
    "-o",
    "wanted.json",
  );
  const found = unpacked("defined.img", "erofs");
  assert.is(readFileSync(join(desk.path(found), control), "utf8"), desk.text("wanted.json"));
  release(found);
  desk.done("image", "build", "--root", "tree", ...labels, "--control", "wanted.json", "-o", "wanted.img");
  assert.is(Buffer.compare(desk.bytes("wanted.img"), desk.bytes("defined.img")), 0);
  desk.write("product/system.yaml", system.replace("release.pub.pem", "gone.pub.pem"));
  const { code, error } = desk.slipway("image", "build", "--root", "tree", ...labels, ...words, "-o", "never.img");
  assert.is(code, 2);
  assert.match(error, /^product\/system\.yaml:6:17: product\/gone\.pub\.pem cannot be read/m);
  assert.not.ok(existsSync(desk.path("never.img")));
});

build("what is wrong in an archive is told by its own name", () => {
  desk.write("product/system.yaml", "system: acme\n");
  mkdirSync(desk.path("odd/usr/share/slipway/state.d"), { recursive: true });
  writeFileSync(desk.path("odd/usr/share/slipway/state.d/x.yaml"), "package: x\noperators: 3\n");
  desk.host("tar", "--create", "--file", "odd.tar", "--directory", "odd", ".");
  const words = ["--tar", "odd.tar", "--definition", "product/system.yaml"];
  const { code, error } = desk.slipway("image", "build", ...words, ...labels, "-o", "never.img");
  assert.is(code, 2);
  assert.match(error, /^odd\.tar:\/usr\/share\/slipway\/state\.d\/x\.yaml:2:12: "operators" must be/m);
  assert.match(error, /^product\/system\.yaml:1:1: "slots" is missing/m);
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

build("what a boot would miss is said, a line each", () => {
  mkdirSync(desk.path("empty/usr"), { recursive: true });
  writeFileSync(desk.path("empty/usr/content"), desk.bytes("erofs.img"));
  const { code, error } = desk.slipway("image", "build", "--root", "empty", ...labels, "-o", "empty.img");
  assert.is(code, 0);
  const told = [
    "control.json",
    "init at",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "os-release",
    "/etc/machine-id",
    "kernel modules",
    "/usr/bin/slipway",
  ];
  assert.equal(
    told.filter((what) => !new RegExp(`^slipway: warning: no .*${what}`, "m").test(error)),
    [],
  );
  mkdirSync(desk.path("empty/usr/lib/systemd"), { recursive: true });
  writeFileSync(desk.path("empty/usr/lib/systemd/systemd"), "x");
  chmodSync(desk.path("empty/usr/lib/systemd/systemd"), 0o755);
  mkdirSync(desk.path("empty/sbin"));
  symlinkSync("/usr/lib/systemd/systemd", desk.path("empty/sbin/init"));
  const again = desk.slipway("image", "build", "--root", "empty", ...labels, "-o", "empty.img").error;
  assert.match(again, /no \/usr\/lib\/systemd\/system\/slipway-commit\.service/);
  assert.not.match(again, /no init/);
});

build("a tree whose way to the control file leads out of it", () => {
  mkdirSync(desk.path("trap/etc"), { recursive: true });
  mkdirSync(desk.path("outside"));
  symlinkSync(desk.path("outside"), desk.path("trap/usr"));
  desk.refused(
    2,
    /\/usr of the tree is no directory/,
    "image",
    "build",
    "--root",
    "trap",
    ...labels,
    "--control",
    "control.json",
    "-o",
    "never.img",
  );
  assert.equal(readdirSync(desk.path("outside")), []);
});

build("a tree with something mounted in it", () => {
  mkdirSync(desk.path("busy/proc"), { recursive: true });
  desk.host("mount", "-t", "tmpfs", "none", "busy/proc");
  try {
    desk.refused(
      2,
      /--root busy: something is mounted at busy\/proc\/?; unmount it first/,
      "image",
      "build",
      "--root",
      "busy",
      ...labels,
      "-o",
      "never.img",
    );
  } finally {
    desk.host("umount", "busy/proc");
  }
});

const refused: [string, string[], RegExp][] = [
  ["no tree", [], /give the tree with either --root TREE or --tar FILE/],
  ["both", ["--root", "tree", "--tar", "tree.tar"], /give the tree with either/],
  ["a tree that is none", ["--root", "control.json"], /--root control\.json is no directory/],
  ["no archive", ["--tar", "gone.tar"], /--tar gone\.tar cannot be read/],
  ["another filesystem", ["--root", "tree", "--filesystem", "ext4"], /--filesystem "ext4": erofs and squashfs are made here/],
  [
    "a compression of the other",
    ["--root", "tree", "--compression", "zstd"],
    /--compression "zstd" is none of erofs's, which are lz4, lz4hc, none/,
  ],
  ["fragments alone", ["--root", "tree", "--fragments", "x"], /--fragments and --previous go with --definition/],
  [
    "definition and control",
    ["--root", "tree", "--definition", "s", "--control", "c"],
    /give either --definition, to compile, or --control/,
  ],
];

for (const [name, words, message] of refused) {
  build(`refused: ${name}`, () => {
    const before = readdirSync(desk.place);
    desk.refused(2, message, "image", "build", ...words, ...labels, "-o", "never.img");
    assert.equal(readdirSync(desk.place), before);
  });
}

build("an output in the tree, none, and an archive that is damaged: nothing is left behind", () => {
  const before = readdirSync(desk.place);
  desk.refused(2, /lies in the tree/, "image", "build", "--root", "tree", ...labels, "-o", "tree/x.img");
  desk.refused(2, /--output \(-o\) is missing/, "image", "build", "--root", "tree", ...labels);
  desk.refused(
    1,
    /cannot write .*never\.img: tar .* ended with 2/,
    "image",
    "build",
    "--tar",
    "control.json",
    ...labels,
    "-o",
    "never.img",
  );
  assert.equal(readdirSync(desk.place), before);
});

/** Which share of the blocks of `later` are not in `earlier`. */
function missingShare(earlier: string, later: string): number {
  const blocks = (name: string) => {
    const bytes = desk.bytes(name);
    return Array.from({ length: bytes.length / 4096 }, (_, index) => Bun.hash(bytes.subarray(index * 4096, (index + 1) * 4096)));
  };
  const held = new Set(blocks(earlier));
  const wanted = blocks(later);
  return wanted.filter((block) => !held.has(block)).length / wanted.length;
}

build("two versions that differ in a few files share most of their blocks", () => {
  const text = textOf(randomNumbers(4));
  mkdirSync(desk.path("v1/usr/lib"), { recursive: true });
  for (let index = 0; index < 300; index++) writeFileSync(desk.path(`v1/usr/lib/part-${index}`), text(200 + index * 8));
  for (const path of ["usr/lib", "usr", ""]) utimesSync(desk.path(`v1/${path}`), time, time);
  cpSync(desk.path("v1"), desk.path("v2"), { recursive: true, preserveTimestamps: true });
  writeFileSync(desk.path("v2/usr/lib/part-100"), text(1000));
  writeFileSync(desk.path("v2/usr/lib/part-200"), text(1900));
  writeFileSync(desk.path("v2/usr/lib/part-99-added"), text(500));
  const missing = (...words: string[]) => {
    for (const version of ["v1", "v2"]) {
      const label = ["--system", "acme", "--version", version];
      desk.done("image", "build", "--root", version, ...label, ...words, "-o", `${version}.img`);
    }
    return missingShare("v1.img", "v2.img");
  };
  // Three of 301 files, their leaves in the tree, and what says where files lie.
  for (const words of [[], ["--compression", "lz4hc"], ["--compression", "none"]]) {
    const share = missing(...words);
    assert.ok(share < 0.1, `${words.join(" ")}: ${(share * 100).toFixed(1)} %`);
  }
});

build.run();
