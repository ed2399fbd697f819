import { type ChildProcess, spawn } from "node:child_process";

/** Programs of the field's that a builder's verb calls, and the Debian packages that bring them. */
const packages: Record<string, string> = {
  mksquashfs: "squashfs-tools",
  unsquashfs: "squashfs-tools",
  xz: "xz-utils",
  zstd: "zstd",
  openssl: "openssl",
  sbsign: "sbsigntool",
  tar: "tar",
  cp: "coreutils",
  "mkfs.erofs": "erofs-utils",
  "fsck.erofs": "erofs-utils",
  debugfs: "e2fsprogs",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.xfs": "xfsprogs",
  "mkfs.btrfs": "btrfs-progs",
};

const running = new Set<ChildProcess>();

/** Kills the programs that still run, for us to end at once. */
export function stopHostPrograms(): void {
  for (const child of running) child.kill("SIGKILL");
}

/**
 * Runs a program of the host to its end and returns what it wrote to standard output. /usr/sbin is searched too, and it
 * speaks the C locale. Throws when it cannot be started or ends with another code than 0; the message quotes its errors.
 */
export async function runHostProgram(
  program: string,
  words: string[],
  variables: Record<string, string> = {},
): Promise<Buffer<ArrayBuffer>> {
  const path = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  const { SOURCE_DATE_EPOCH: _, ...environment } = process.env; // times are given by option
  const child = spawn(program, words, {
    env: { ...environment, LC_ALL: "C", PATH: path, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const end = await new Promise<string>((resolve, reject) => {
    child.on("error", (error) => {
      const remedy = packages[program] ? `install Debian's ${packages[program]}` : "is it installed?";
      reject(new Error(`${program} cannot be started: ${error.message}; ${remedy}`));
    });
    child.on("close", (code, signal) => resolve(String(code ?? signal)));
  }).finally(() => running.delete(child));
  if (end === "0") return Buffer.concat(output);
  const said = Buffer.concat([...errors, ...output])
    .toString()
    .trim();
  throw new Error(`${[program, ...words].join(" ")} ended with ${end}:\n${said.split("\n").slice(-15).join("\n")}`);
}
