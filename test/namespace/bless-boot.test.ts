/** Names of entries against the real systemd-bless-boot, which is Debian's and runs in a tree of its own: it refuses to in containers. */
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { blessed, condemned, printEntryName, readEntryName } from "../../boot/stores/bls-names.ts";
import { EFI_VARIABLE, encodeVariable } from "../../boot/stores/efi-variables.ts";
import { MS } from "../../init/kernel/constants.ts";
import { aptFor } from "../../qemu/apt.ts";
import { hostArchitecture } from "../../qemu/architecture.ts";
import { keptOf } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { cleanUp, kernel, mountTmpfs, program, scratch } from "./state-machine.ts";

test.after(cleanUp);

const apt = await aptFor(hostArchitecture);
const version = await apt.version("systemd-boot");
const unpacked = await keptOf("systemd-boot", [version, hostArchitecture], async (aside) => {
  for (const file of await apt.download([`systemd-boot=${version}`], aside)) {
    await runProgram("dpkg-deb", ["--extract", file, `${aside}/tree`]);
    rmSync(file);
  }
});

const root = `${scratch}/root`;
mountTmpfs(root);
for (const name of ["usr", "proc", "dev", "run", "tmp", "boss", "esp", "sys/firmware/efi/efivars"])
  mkdirSync(`${root}/${name}`, { recursive: true });
for (const name of ["bin", "lib", "lib64", "sbin"]) symlinkSync(`usr/${name}`, `${root}/${name}`);
for (const [from, to] of [
  ["/usr", "usr"],
  ["/proc", "proc"],
  ["/dev", "dev"],
  [`${unpacked}/tree`, "boss"],
] as const)
  kernel.mount(from, `${root}/${to}`, "", MS.BIND | MS.REC, "");

/** What is in the directory of `path` after the tool was asked to call it good, bad or neither. */
function after(path: string, verb: string): string {
  const [directory, name] = [path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1)];
  rmSync(`${root}/esp`, { recursive: true });
  mkdirSync(`${root}/esp/${directory}`, { recursive: true });
  writeFileSync(`${root}/esp/${directory}/${name}`, "");
  const value = Buffer.from(`\\${path.replaceAll("/", "\\")}\0`, "utf16le");
  writeFileSync(`${root}/sys/firmware/efi/efivars/${EFI_VARIABLE.loaderBootCountPath}`, encodeVariable({ attributes: 6, value }));
  const tool = "/boss/lib/systemd/systemd-bless-boot";
  program("env", "SYSTEMD_RELAX_ESP_CHECKS=1", "chroot", root, "sh", "-c", `${tool} --path=/esp ${verb} 2>&1 || true`);
  return readdirSync(`${root}/esp/${directory}`).join(" ");
}

for (const line of readFileSync("test/vectors/systemd-bless-boot.txt", "utf8").split("\n")) {
  const [name = "", verb = "", result = ""] = line.split(" ");
  if (name === "" || name === "#") continue;
  test(`systemd-bless-boot ${verb} of ${name}`, () =>
    assert.is(after(`${name.endsWith(".efi") ? "EFI/Linux" : "loader/entries"}/${name}`, verb), result));
}

test("names that slipway writes are blessed and condemned as slipway does it", () => {
  for (const name of ["slipway-12-A-0123456789ab+3.efi", "slipway-3-system-b+1-2.efi", "slipway-3-b+0-3.efi"]) {
    const parsed = readEntryName(name);
    assert.ok(parsed);
    assert.is(after(`EFI/Linux/${name}`, "good"), printEntryName(blessed(parsed)));
    assert.is(after(`EFI/Linux/${name}`, "bad"), printEntryName(condemned(parsed)));
  }
});

test.run();
