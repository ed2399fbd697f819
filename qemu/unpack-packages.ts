/** Debian's packages unpacked into a tree, without anything of them being run. */
import { mkdirSync, symlinkSync } from "node:fs";
import { runProgram } from "./program.ts";

/** Directories of a tree that are links to those of the same name below /usr, for packages that still name them. */
const merged = ["bin", "lib", "sbin"];

const unpackOne = `file=$1; shift
dpkg-deb --fsys-tarfile "$file" | tar --extract --keep-directory-symlink --preserve-permissions "$@"`;

/**
 * Unpacks package files into the directory `tree`, in which /usr is merged.
 * @param leftOut patterns of paths: "/usr/share/doc/*"
 */
export async function unpackPackages(files: readonly string[], tree: string, leftOut: readonly string[] = []): Promise<void> {
  for (const name of merged) {
    mkdirSync(`${tree}/usr/${name}`, { recursive: true });
    symlinkSync(`usr/${name}`, `${tree}/${name}`);
  }
  const words = ["--directory", tree, ...leftOut.map((path) => `--exclude=.${path}`)];
  for (const file of files) await runProgram("bash", ["-o", "pipefail", "-c", unpackOne, "bash", file, ...words]);
}
