/** A medium that somebody made to harm the machine: a real ext4, mounted and searched as PID 1 does it. */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { mountOptions } from "../../boot/recovery/media.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import type { RecoveryDesk } from "../../init/recovery/desk.ts";
import { ImageSearch } from "../../init/recovery/image-search.ts";
import { imagesOn } from "../../init/recovery/images-in-directory.ts";
import { Medium } from "../../init/recovery/medium.ts";
import { RecoveryScreen } from "../../init/recovery/screen.ts";
import { Counters } from "../../init/sequence/counters.ts";
import { Devices } from "../../init/sequence/devices.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import { controlFile } from "../unit/golden-machine.ts";
import { sealed, signedControl } from "../unit/sealed-world.ts";
import { attach, cleanUp, countingKernel, detach, makeFilesystem, mountTmpfs, program, scratch } from "./state-machine.ts";

test.after(cleanUp);
mountTmpfs("/run");

const good = await sealed(1, { manifest: { rollbackIndex: 5 } });
const secret = `${scratch}/secret.img`;
writeFileSync(secret, good.head);

/** The real kernel, which leaves the host's consoles, log and children alone. */
function guarded(): { kernel: Kernel; open: Set<number> } {
  const counting = countingKernel();
  const kernel = new Proxy(counting.kernel, {
    get(target, name) {
      if (name === "reap") return () => null;
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        const path = String(args[0]);
        if (name === "open" && /^\/(dev\/(?!loop)|sys\/class\/tty|proc\/sys)/.test(path)) {
          throw new KernelError("openat2", path, "ENOENT");
        }
        return Reflect.apply(method, target, args);
      };
    },
  });
  return { kernel, open: counting.open };
}

function deskOn(kernel: Kernel): RecoveryDesk {
  const { control } = controlFile({ ...signedControl() });
  const boot = new Launch(kernel, new Log(kernel), control, parseCommandLine("quiet"));
  const { signal } = new AbortController();
  return {
    boot,
    devices: new Devices(boot),
    counters: new Counters(boot, null),
    screen: new RecoveryScreen(kernel),
    signal,
    advanced: () => {},
    askedSources: () => {},
    network: async () => null,
  };
}

/** Runs shell lines in the filesystem of `file`, whose root is the working directory. */
function inside(file: string, lines: string): void {
  program(
    "sh",
    "-ec",
    `mkdir -p "$2"; mount -o loop "$1" "$2"; cd "$2"; ${lines}\ncd /; umount "$2"`,
    "sh",
    file,
    `${scratch}/made`,
  );
}

const hash = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

/** Mounts the filesystem in `file` as a medium and looks for images. It must be byte for byte the same afterwards. */
async function search(file: string) {
  const before = hash(file);
  const { kernel, open } = guarded();
  const desk = deskOn(kernel);
  const refused: string[] = [];
  const loop = attach(file);
  const opened = new Set(open);
  const mounts = () => readFileSync("/proc/self/mountinfo", "utf8");
  const mountsBefore = mounts();
  const images = new ImageSearch(desk, { imageIds: null, except: [] }, (reason) => refused.push(reason));
  const options = mountOptions("media", "ext4");
  assert.ok(options !== null);
  const medium = Medium.mount(desk.boot, { name: "loop", path: loop, readOnly: false }, "ext4", options);
  const [line = ""] = mounts()
    .split("\n")
    .filter((one) => one.includes("/run/slipway/media/loop"));
  const found = await imagesOn(images, medium.root, "stick");
  const bytes = found.map((image) => {
    const fd = image.open();
    const head = kernel.read(fd, 4096, 0n);
    kernel.close(fd);
    return Buffer.compare(head, good.head.subarray(0, 4096)) === 0;
  });
  assert.is(program("blockdev", "--getro", loop), "1");
  medium.release();
  assert.is(program("blockdev", "--getro", loop), "0");
  assert.is(mounts(), mountsBefore);
  assert.equal(
    [...open].filter((fd) => !opened.has(fd)),
    [],
  );
  detach(loop);
  assert.is(hash(file), before, "it was written to");
  return { names: found.map(({ name }) => name), bytes, refused: refused.join("\n"), line };
}

test("links, devices, fifos, sockets, holes of terabytes and very many names: only what is a file of the medium counts", async () => {
  const file = makeFilesystem("ext4", `${scratch}/hostile.disk`);
  inside(
    file,
    `cp ${secret} good.img
ln -s good.img link.img; ln -s ${secret} outside.img; ln -s ../../../../../../..${secret} up.img
mkfifo fifo.img; mknod null.img c 1 3; mknod disk.img b 7 0; mkdir directory.img
truncate -s 3T sparse.img; : >empty.img
ln -s / slipway; mkdir acme-gateway; mkfifo acme-gateway/channel.json; cp ${secret} acme-gateway/second.img
cp /bin/true run-me; chmod 6755 run-me`,
  );
  const { names, bytes, refused, line } = await search(file);
  assert.equal(names, ["stick: good.img", "stick: acme-gateway/second.img"]);
  assert.equal(bytes, [true, true]);
  assert.match(line, / ro,nosuid,nodev,noexec,noatime,nosymfollow /);
  for (const name of ["link", "outside", "up"]) assert.match(refused, new RegExp(`^stick: ${name}\\.img: it is a link`, "m"));
  assert.match(refused, /^stick: slipway: it is a link/m);
  assert.match(refused, /^stick: fifo\.img: .*it is a fifo/m);
  for (const name of ["null", "disk"]) assert.match(refused, new RegExp(`^stick: ${name}\\.img: it is a device`, "m"));
  for (const name of ["sparse", "empty"])
    assert.match(refused, new RegExp(`^stick: ${name}\\.img: no image that could be used`, "m"));
});

test("a directory of very many names is not read to its end", async () => {
  const file = `${scratch}/many.disk`;
  writeFileSync(file, "");
  truncateSync(file, 64 * 1024 * 1024);
  program("mkfs.ext4", "-q", "-F", "-N", "60000", file);
  inside(file, `rmdir lost+found; seq -f "%06.0f.img" 50000 | xargs touch; cp ${secret} 000000.img`);
  const { refused } = await search(file);
  assert.match(refused, /4096 files are named \*\.img, of which the first 64 are looked at/);
  assert.ok(refused.split("\n").length < 80);
});

test("a journal that waits to be replayed, orphans, and a superblock that asks for a panic: nothing is written, nothing panics", async () => {
  const file = makeFilesystem("ext4", `${scratch}/dirty.disk`);
  const copy = `${scratch}/dirty-copy.disk`;
  inside(
    file,
    `cp ${secret} good.img; echo more >more; sync --file-system .
exec 3>orphan; echo lost >&3; rm orphan; mkdir late; sync late; sync --file-system .
cp --sparse=always ${file} ${copy}; exec 3>&-`,
  );
  assert.match(program("dumpe2fs", "-h", copy), /needs_recovery/);
  program("tune2fs", "-f", "-e", "panic", copy);
  program("debugfs", "-w", "-R", "ssv state 2", copy);
  const { names } = await search(copy);
  assert.equal(names, ["stick: good.img"]);
});

test("what is no filesystem any more is an error of the mount, and leaves nothing behind", async () => {
  const file = makeFilesystem("ext4", `${scratch}/broken.disk`);
  const broken = `${scratch}/broken-copy.disk`;
  copyFileSync(file, broken);
  const bytes = readFileSync(broken);
  bytes.fill(0xff, 2048, 16 * 4096);
  writeFileSync(broken, bytes);
  const loop = attach(broken);
  const { kernel, open } = guarded();
  const desk = deskOn(kernel);
  const opened = open.size;
  assert.throws(
    () => Medium.mount(desk.boot, { name: "loop", path: loop, readOnly: false }, "ext4", mountOptions("media", "ext4") ?? ""),
    (error: unknown) => error instanceof KernelError && error.call === "mount",
  );
  assert.is(open.size, opened);
  assert.is(program("blockdev", "--getro", loop), "0");
  assert.not.match(readFileSync("/proc/self/mountinfo", "utf8"), /media\/loop/);
  detach(loop);
});

mkdirSync(`${scratch}/made`, { recursive: true });
test.run();
