/**
 * What package.json's scripts start in: `node scripts/run.mjs NAME [WORD]…` runs scripts/NAME.ts with Bun, after making
 * sure that everything it needs is there: npm packages, programs of the host, an up-to-date dist/.
 * Needs nothing but Node 18. What npm and apt say goes to standard error.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const bun = `${project}/node_modules/.bin/bun`;

/** Programs of the host and the Debian packages that bring them. A path stands for a file that no PATH leads to. */
const packageOf = {
  cc: "gcc",
  "/usr/include/stdio.h": "libc6-dev",
  objcopy: "binutils",
  mksquashfs: "squashfs-tools",
  zstd: "zstd",
  xz: "xz-utils",
  "mkfs.erofs": "erofs-utils",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.xfs": "xfsprogs",
  "mkfs.btrfs": "btrfs-progs",
  "mkfs.vfat": "dosfstools",
  mcopy: "mtools",
  sgdisk: "gdisk",
  sfdisk: "fdisk",
  flock: "util-linux",
  depmod: "kmod",
  "/bin/busybox": "busybox-static",
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-system-aarch64": "qemu-system-arm",
  mmdebstrap: "mmdebstrap",
  cpio: "cpio",
  nginx: "nginx-light",
  tinyproxy: "tinyproxy-bin",
  ip: "iproute2",
  dnsmasq: "dnsmasq-base",
  openssl: "openssl",
  veritysetup: "cryptsetup-bin",
  "grub-mkimage": "grub-common",
  "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
  "/usr/lib/grub/x86_64-efi/moddep.lst": "grub-efi-amd64-bin",
  "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
  "/usr/lib/systemd/boot/efi/systemd-bootx64.efi": "systemd-boot-efi",
  "/usr/lib/u-boot/qemu_arm64/u-boot.bin": "u-boot-qemu",
  mkenvimage: "u-boot-tools",
  fw_setenv: "libubootenv-tool",
  sbsign: "sbsigntool",
  "sign-efi-sig-list": "efitools",
  cgpt: "cgpt",
  casync: "casync",
  rauc: "rauc",
  "dbus-daemon": "dbus-daemon",
  "dbus-send": "dbus-bin",
  curl: "curl",
  "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
  "/usr/aarch64-linux-gnu/include/asm/unistd.h": "linux-libc-dev-arm64-cross",
  "/usr/aarch64-linux-gnu/include/stdio.h": "libc6-dev-arm64-cross",
  "x86_64-linux-gnu-gcc": "gcc-x86-64-linux-gnu",
  "/usr/x86_64-linux-gnu/include/asm/unistd.h": "linux-libc-dev-amd64-cross",
  "/usr/x86_64-linux-gnu/include/stdio.h": "libc6-dev-amd64-cross",
};

const compiler = ["cc", "/usr/include/stdio.h", "objcopy"];
const initrd = ["mksquashfs", "zstd", "xz"];
const filesystems = ["mkfs.erofs", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "mkfs.vfat", "mcopy", "sgdisk", "sfdisk"];
const machine = ["mmdebstrap", "cpio", "flock", "depmod", "/bin/busybox", ...initrd, ...filesystems];
const server = ["nginx", "openssl"];
const proxy = ["tinyproxy"];
const network = ["ip", "dnsmasq"];
const verity = ["veritysetup"];
/** Bootloaders, and the tools that write their stores. */
const loaders = [
  ...["grub-mkimage", "/usr/lib/grub/i386-pc/boot.img", "/usr/lib/grub/x86_64-efi/moddep.lst"],
  ...["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "sbsign", "sign-efi-sig-list"],
  ...["/usr/lib/u-boot/qemu_arm64/u-boot.bin", "mkenvimage", "fw_setenv", "cgpt"],
];
const updaters = ["casync", "rauc", "dbus-daemon", "dbus-send", "curl"];

/** Architectures of --arch that are not this machine's, and what compiles for them here. */
const own = { x64: "x86-64", arm64: "arm64" }[process.arch];
const crossCompilers = {
  arm64: ["aarch64-linux-gnu-gcc", "/usr/aarch64-linux-gnu/include/asm/unistd.h"],
  "x86-64": ["x86_64-linux-gnu-gcc", "/usr/x86_64-linux-gnu/include/asm/unistd.h"],
};

/** What starts machines of an architecture, and what compiles the programs that run in foreign ones. */
const emulators = { "x86-64": "qemu-system-x86_64", arm64: "qemu-system-aarch64" };
const guestHeaders = { "x86-64": "/usr/x86_64-linux-gnu/include/stdio.h", arm64: "/usr/aarch64-linux-gnu/include/stdio.h" };

/** What each script needs, whether it uses dist/, and whether it starts machines, of the architecture in SLIPWAY_ARCH. */
const scripts = {
  build: { programs: compiler, dist: false, machines: false },
  demo: { programs: [...compiler, ...machine, ...server], dist: true, machines: true },
  vm: { programs: [...compiler, ...machine], dist: true, machines: true },
  test: {
    programs: [...compiler, ...machine, ...server, ...proxy, ...network, ...verity, ...loaders],
    dist: true,
    machines: true,
  },
  bench: { programs: [...compiler, ...machine, ...server, ...updaters], dist: true, machines: true },
  "trace-start": { programs: [...compiler, ...machine], dist: true, machines: true },
};

class Failure extends Error {}

/** Runs a program to its end; what it says goes to standard error. */
function run(program, words, options = {}) {
  const result = spawnSync(program, words, { cwd: project, stdio: ["ignore", 2, 2], ...options });
  if (result.error) throw new Failure(`${program} cannot be started: ${result.error.message}`);
  return result.status === 0;
}

function bunWorks() {
  return spawnSync(bun, ["--version"], { stdio: "ignore" }).status === 0;
}

function installNpmPackages() {
  const stamp = `${project}/node_modules/.slipway-lock-sha256`;
  const wanted = createHash("sha256")
    .update(readFileSync(`${project}/package-lock.json`))
    .digest("hex");
  const stamped = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  const whole = stamped === wanted && existsSync(bun);
  if (!whole) {
    console.error("npm packages are missing or old: npm ci");
    if (!run("npm", ["ci"])) throw new Failure("npm ci failed; see above");
  }
  // bun's install script fetches its executable, and npm may have been told to run no install scripts
  if (!bunWorks()) run(process.execPath, [`${project}/node_modules/bun/install.js`], { cwd: `${project}/node_modules/bun` });
  if (!bunWorks()) throw new Failure(`${bun} does not run; remove node_modules and try again`);
  if (!whole) writeFileSync(stamp, wanted);
}

function isThere(program) {
  if (program.startsWith("/")) return existsSync(program);
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return directories.some((directory) => {
    try {
      accessSync(`${directory}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function installPrograms(programs) {
  const missing = () => [...new Set(programs.filter((program) => !isThere(program)).map((program) => packageOf[program]))];
  const wanted = missing();
  if (wanted.length === 0) return;
  const line = `apt-get install -y --no-install-recommends ${wanted.join(" ")}`;
  if (process.getuid() !== 0) throw new Failure(`these packages are missing; as root, run\n  ${line}`);
  if (!isThere("apt-get"))
    throw new Failure(`these are missing, and there is no apt-get: install what Debian calls ${wanted.join(" ")}`);
  console.error(line);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = () => run("apt-get", line.split(" ").slice(1), { env });
  if (!install() && !(run("apt-get", ["update"]) && install())) throw new Failure(`${line} failed; see above`);
  const still = missing();
  if (still.length > 0)
    throw new Failure(
      `${still.join(", ")} installed, and still missing: ${programs.filter((program) => !isThere(program)).join(", ")}`,
    );
}

/** Modification time of the youngest file at or below `path`, in ms; 0 where there is none. */
function youngest(path) {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) return 0;
  if (!status.isDirectory()) return status.mtimeMs;
  return Math.max(status.mtimeMs, ...readdirSync(path).map((name) => youngest(`${path}/${name}`)));
}

/** The other architecture that the words or SLIPWAY_ARCH ask for; undefined without one. Wrong words are for the script to refuse. */
function otherArchitecture(words) {
  const at = words.findIndex((word) => word === "--arch" || word.startsWith("--arch="));
  const given = words[at] === "--arch" ? words[at + 1] : words[at]?.slice("--arch=".length);
  const asked = at < 0 ? process.env.SLIPWAY_ARCH : given;
  return asked !== own && Object.hasOwn(crossCompilers, asked ?? "") ? asked : undefined;
}

/** Builds the products in dist/, or those of another architecture, unless they are younger than all sources. */
function buildWhatIsStale(architecture) {
  const sources = ["init", "boot", "state-ops", "scripts/build.ts", "scripts/build", "package.json", "package-lock.json"];
  const changed = Math.max(...sources.map((name) => youngest(`${project}/${name}`)));
  const place = architecture === undefined ? "dist" : `dist/${architecture}`;
  const products = ["slipway", "preinit", "interpreter", "rootfs.tar"].map(
    (name) => statSync(`${project}/${place}/${name}`, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  if (Math.min(...products) >= changed) return;
  console.error(`${place}/ is missing or old: building it`);
  const words = architecture === undefined ? [] : ["--arch", architecture];
  if (!run(bun, ["scripts/build.ts", ...words])) throw new Failure("the build failed; see above");
}

/**
 * The processes between us and npm, and npm: we are its grandchild where its shell does not replace itself by us. Changes
 * when one of them dies, of which no signal tells us. Without npm, who started us may go.
 */
function npmAbove() {
  if (process.env.npm_lifecycle_event === undefined) return "";
  try {
    const parent = process.ppid;
    return `${parent} ${readFileSync(`/proc/${parent}/stat`, "utf8").replace(/^.*\) \S+ (\d+).*$/s, "$1")}`;
  } catch {
    return "gone";
  }
}

/** Runs the script in our place: it gets our signals, and it ends when we or npm end, however that happens. */
function hand(name, words) {
  const program = `${project}/scripts/${name}.ts`;
  if (!existsSync(program)) throw new Failure(`${program} does not exist`);
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", bun, program, ...words], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => child.kill(signal));
  const ours = npmAbove();
  const watch = setInterval(() => {
    if (npmAbove() !== ours) child.kill("SIGKILL");
  }, 200);
  watch.unref();
  child.on("error", (error) => {
    console.error(`scripts/run.mjs: setpriv cannot be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else process.exitCode = code ?? 1;
  });
}

const [name, ...words] = process.argv.slice(2);
if (name === undefined || !Object.hasOwn(scripts, name)) {
  console.error(`usage: node scripts/run.mjs ${Object.keys(scripts).join("|")} [WORD]…`);
  process.exit(2);
}
try {
  installNpmPackages();
  const other = otherArchitecture(words);
  const { programs, dist, machines } = scripts[name];
  const cross = other === undefined ? [] : crossCompilers[other];
  const forMachines = other === undefined ? [emulators[own]] : [emulators[other], guestHeaders[other]];
  installPrograms([...programs, ...cross, ...(machines ? forMachines : [])]);
  if (machines) process.env.SLIPWAY_ARCH = other ?? own;
  if (dist) buildWhatIsStale(undefined);
  if (dist && other !== undefined) buildWhatIsStale(other);
  hand(name, words);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`scripts/run.mjs: ${error.message}`);
  process.exitCode = 1;
}
