import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AptFile, hostAptFiles, keepSuites, type SuiteKind } from "./apt-sources.ts";
import { BOARD, guestArchitecture, hostArchitecture } from "./architecture.ts";
import { foreignDebian } from "./foreign-debian.ts";
import { makeOnce } from "./lock.ts";
import { cache, project } from "./places.ts";
import { runProgram } from "./program.ts";
import { osRelease, type TreeFiles, writeFiles } from "./tree.ts";

const packages = ["systemd-sysv", "udev", "dbus", "libpam-systemd", "kmod"];

const leftOut = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*"];

/** What makes an image out of an installation: no identity of its own, no password, no lists that only apt needs. */
const hooks = [
  ': > "$1/etc/machine-id"',
  'rm -f "$1/var/lib/dbus/machine-id" "$1/etc/fstab" "$1/etc/resolv.conf" "$1/etc/hostname"',
  'sed -i "s/^root:[^:]*:/root:!*:/" "$1/etc/shadow"',
  'rm -rf "$1"/var/cache/debconf/*-old "$1"/var/log/*.log "$1"/var/log/apt "$1"/var/cache/ldconfig/aux-cache',
];

/** The same for packages that not every Debian has. */
const packageHooks: Record<string, string[]> = {
  "openssh-server": ['rm -f "$1"/etc/ssh/ssh_host_*'],
};

function hostCodename(): string {
  const codename = osRelease("", "VERSION_CODENAME");
  if (codename === "") throw new Error("/usr/lib/os-release has no VERSION_CODENAME: is this host a Debian?");
  return codename;
}

/** Suites of the host's own apt sources that a Debian is made from. */
export type DebianSuites = "all" | readonly SuiteKind[];

function aptFiles(suites: DebianSuites): AptFile[] {
  const host = hostAptFiles();
  const files = suites === "all" ? host : keepSuites(host, suites);
  if (files.length > 0) return files;
  throw new Error(`apt has no sources for ${suites}: looked at ${host.map(({ name }) => name).join(", ")}`);
}

/**
 * A tar file with a small Debian that has systemd: made with mmdebstrap from the host's own apt sources, about half a
 * minute the first time (some minutes for a foreign architecture), and kept in .cache/debian under a hash of what it is made from. Needs root.
 * @param more packages beside those that every one of these Debians has
 */
export async function debianTar(more: readonly string[] = [], suites: DebianSuites = "all"): Promise<string> {
  const sources = aptFiles(suites);
  const codename = hostCodename();
  const included = [...packages, ...more];
  const made = [...hooks, ...more.flatMap((name) => packageHooks[name] ?? [])];
  const foreign = guestArchitecture !== hostArchitecture;
  const how = foreign ? readFileSync(`${project}/qemu/foreign-debian.ts`, "utf8") : "";
  const inputs = [guestArchitecture, how, included, leftOut, made, codename, sources.map(({ text }) => text)];
  const hash = createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 16);
  return makeOnce(
    `${cache}/debian/${hash}.tar`,
    async (aside) => {
      if (foreign) return foreignDebian(aside, { packages: included, leftOut, hooks: made, sources });
      for (const { name, text } of sources) writeFileSync(`${aside}/${name}`, text);
      const words = ["--variant=minbase", `--include=${included.join(",")}`, "--quiet"];
      words.push(...leftOut.map((path) => `--dpkgopt=path-exclude=${path}`));
      words.push(...made.map((hook) => `--customize-hook=${hook}`));
      const mirrors = sources.map(({ name }) => `${aside}/${name}`);
      await runProgram("mmdebstrap", [...words, codename, `${aside}/root.tar`, ...mirrors], { timeoutMs: 1_200_000 });
    },
    "root.tar",
  );
}

export interface DebianRoot {
  /** IMAGE_VERSION in os-release: "v1". */
  version: string;
  /** root is logged in on the console. Default false: then nobody can log in, root's password is locked. */
  autologin?: boolean;
  /** Packages beside those that every one of these Debians has. */
  packages?: readonly string[];
  /** Default "all". */
  suites?: DebianSuites;
  files?: TreeFiles;
}

const autologinUnit = `[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200,57600,38400,9600 - $TERM
`;

/** Fills the empty directory `tree` with a Debian. slipway itself is put in with `addSlipway`, modules with `addModules`. */
export async function debianTree(tree: string, root: DebianRoot): Promise<void> {
  const tar = await debianTar(root.packages, root.suites);
  await runProgram("tar", ["--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--directory", tree, "--file", tar]);
  chmodSync(tree, 0o755);
  for (const name of ["proc", "sys", "dev", "run", "tmp"]) mkdirSync(`${tree}/${name}`, { recursive: true });
  const release = readFileSync(`${tree}/usr/lib/os-release`, "utf8").replace(/^IMAGE_.*\n/gm, "");
  rmSync(`${tree}/usr/lib/os-release`);
  writeFiles(tree, {
    "/usr/lib/os-release": `${release}IMAGE_ID=slipway-debian\nIMAGE_VERSION=${root.version}\n`,
    "/etc/hostname": "slipway-debian\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    ...(root.autologin
      ? { [`/etc/systemd/system/serial-getty@${BOARD[guestArchitecture].console}.service.d/autologin.conf`]: autologinUnit }
      : {}),
    ...root.files,
  });
}
