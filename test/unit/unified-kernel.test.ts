import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { appendSections, readPe } from "../../boot/portable-executable.ts";
import { commandLineOf, readKernelFile, releaseOf } from "../../boot/unified-kernel.ts";
import { buildUki, verb } from "../../init/builder/initrd/uki.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { makeSigner } from "../../qemu/secure-boot.ts";
import { SYSTEMD_STUB } from "../../qemu/systemd-boot-disk.ts";

const directory = mkdtempSync(`${tmpdir()}/slipway-uki-`);
test.after(() => rmSync(directory, { recursive: true, force: true }));
const stub = new Uint8Array(readFileSync(SYSTEMD_STUB));
const { kernel, version } = await guestKernel("cloud", "x86-64");
const bytesOf = (length: number) => Uint8Array.from({ length }, (_, index) => index % 251);
const file = (name: string) => `${directory}/${name}`;

writeFileSync(file("initrd"), bytesOf(100_001));
writeFileSync(file("os-release"), 'NAME="Acme"\nPRETTY_NAME="Acme 3"\nID=acme\nVERSION_ID=3\nIMAGE_VERSION=3.1\n\n');

function words(more: Record<string, string | null> = {}): Parameters<typeof buildUki>[0] {
  const input = {
    linux: kernel,
    initrd: file("initrd"),
    commandLine: "quiet slipway.slot=a",
    release: file("os-release"),
    stub: SYSTEMD_STUB,
  };
  return { ...input, signer: null, output: file("image.efi"), ...more };
}

/** Throws unless the verb refuses `options` with `wanted`. */
async function refused(work: () => unknown, wanted: string | RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.is(error instanceof Error && error.constructor.name, "BadInput", String(error));
    assert.match(String(error), wanted);
    return;
  }
  throw new Error(`not refused: ${wanted}`);
}

test("binutils finds the sections as they were put in, above the stub's own in memory and apart from each other", async () => {
  const lines = await buildUki(words());
  assert.match(lines.join("\n"), /x86-64, kernel \S+, slot a, unsigned/);
  const listed = execFileSync("objdump", ["-h", file("image.efi")], { encoding: "utf8" });
  const headers = [...listed.matchAll(/^ +\d+ (\S+) +([0-9a-f]{8}) +([0-9a-f]{16})/gm)].map(
    ([, name = "", size = "", address = ""]) => ({
      name,
      size: Number.parseInt(size, 16),
      address: Number.parseInt(address, 16),
    }),
  );
  const own = headers.slice(-5);
  assert.equal(
    own.map(({ name }) => name),
    [".osrel", ".cmdline", ".uname", ".initrd", ".linux"],
  );
  for (const [index, header] of headers.entries()) {
    const before = headers[index - 1];
    if (before) assert.ok(before.address + before.size <= header.address, `${before.name} and ${header.name} overlap`);
  }
  for (const { address } of own) assert.is(address % 4096, 0);
  const contents: Record<string, Uint8Array> = {
    ".osrel": new TextEncoder().encode('NAME="Acme"\nPRETTY_NAME="Acme 3"\nID=acme\n'),
    ".cmdline": new TextEncoder().encode("quiet slipway.slot=a"),
    ".uname": new TextEncoder().encode(version),
    ".initrd": bytesOf(100_001),
    ".linux": readFileSync(kernel),
  };
  for (const [name, wanted] of Object.entries(contents)) {
    execFileSync("objcopy", ["-O", "binary", "--only-section", name, file("image.efi"), file("section")]);
    assert.ok(Buffer.from(wanted).equals(readFileSync(file("section")).subarray(0, wanted.length)), name);
  }
  const pe = readPe("image", new Uint8Array(readFileSync(file("image.efi"))));
  assert.equal(
    pe.sections.slice(-5).map(({ name, size }) => [name, size]),
    Object.entries(contents).map(([name, wanted]) => [name, wanted.length]),
  );
});

test("same input, same bytes", async () => {
  await buildUki(words({ output: file("again.efi") }));
  assert.ok(readFileSync(file("image.efi")).equals(readFileSync(file("again.efi"))));
});

test("it can be signed, and a byte changed in the initrd is no longer what was signed", async () => {
  const signer = await makeSigner(directory, "db");
  await buildUki({ ...words({ output: file("signed.efi") }), signer });
  const verify = (name: string) => spawnSync("sbverify", ["--cert", signer.certificate, file(name)], { encoding: "utf8" });
  assert.is(verify("signed.efi").status, 0, verify("signed.efi").stderr);
  const bytes = readFileSync(file("signed.efi"));
  const initrd = readPe("signed", new Uint8Array(bytes)).sections.find(({ name }) => name === ".initrd");
  assert.ok(initrd);
  const at = initrd.fileOffset + 5000;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file("flipped.efi"), bytes);
  assert.is.not(verify("flipped.efi").status, 0);
  await refused(() => buildUki(words({ stub: file("signed.efi") })), "is signed");
});

test("what cannot be made is refused by name, and leaves no file", async () => {
  const output = file("never.efi");
  writeFileSync(file("text"), "hello\n");
  writeFileSync(file("empty"), "");
  writeFileSync(file("cut.stub"), stub.subarray(0, 30_000));
  writeFileSync(file("arm.stub"), withBytes(stub, 0x84, [0x64, 0xaa]));
  writeFileSync(file("nameless"), "VERSION_ID=3\n");
  const cases: [Record<string, string | null>, string | RegExp][] = [
    [{ linux: file("text") }, 'text is no EFI executable: it does not begin with "MZ"'],
    [{ linux: file("absent") }, "absent"],
    [{ initrd: file("empty") }, "empty is empty"],
    [{ stub: file("text") }, "text is no EFI executable"],
    [{ stub: file("cut.stub") }, "cut short"],
    [{ stub: file("arm.stub") }, "arm.stub is for arm64"],
    [{ stub: file("image.efi") }, "has a section .osrel already"],
    [{ release: file("nameless") }, "nameless has none of PRETTY_NAME"],
    [{ commandLine: "a\nb" }, "--cmdline has"],
    [{ commandLine: "grün" }, '--cmdline has "ü"'],
    [{ commandLine: "x".repeat(2048) }, "--cmdline has 2048 bytes"],
    [{ output: directory }, "is no regular file"],
  ];
  for (const [change, wanted] of cases) await refused(() => buildUki(words({ output, ...change })), wanted);
  assert.not.ok(existsSync(output));
});

test("the verb refuses half a signer and keys that are not in PEM", async () => {
  const given = { linux: kernel, initrd: file("initrd"), cmdline: "x", output: file("x.efi") };
  await refused(() => verb.run({ ...given, key: file("text") }, []), "--key and --cert belong together");
  await refused(() => verb.run({ ...given, key: file("text"), cert: file("text") }, []), /--key .*text is not in PEM/);
  await refused(() => verb.run({ linux: kernel }, []), "needs --initrd");
});

function withBytes(bytes: Uint8Array, at: number, changed: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(changed, at);
  return copy;
}

test("headers that lie are refused, none with another error", () => {
  const section = [{ name: ".x", bytes: bytesOf(10) }];
  const tries: [number, number[], RegExp][] = [
    [0, [0], /"MZ"/],
    [0x3c, [0xff, 0xff, 0xff, 0xff], /cut short/],
    [0x80, [0], /"PE" signature/],
    [0x98, [0x0b, 0x01], /not for 64 bits/],
    [0x86, [0xff, 0xff], /65535 section headers/],
    [0x98 + 36, [0, 0, 0, 0], /file alignment of 0/],
    [0x98 + 60, [0x90, 2, 0, 0], /has room for/],
    [0x98 + 148, [1], /is signed/],
  ];
  for (const [at, bytes, wanted] of tries)
    assert.throws(
      () => appendSections("stub", withBytes(stub, at, bytes), section),
      (error: Error) => error.constructor.name === "BadInput" && wanted.test(error.message),
      `${at}: ${wanted}`,
    );
  for (let at = 0; at < 0x400; at++) {
    for (const byte of [0, 0xff]) {
      try {
        appendSections("stub", withBytes(stub, at, [byte]), section);
      } catch (error) {
        assert.is(error instanceof Error && error.constructor.name, "BadInput", `byte ${at} ${byte}: ${error}`);
      }
    }
  }
  assert.throws(() => readPe("nothing", new Uint8Array(0)), /no EFI executable/);
});

test("a stub padded with instructions for nothing, as Debian's for arm64 is, and one padded with something else", () => {
  const { headersOffset, headersSize, sections } = readPe("stub", stub);
  const from = headersOffset + sections.length * 40;
  const padded = (filler: number[]) =>
    withBytes(
      stub,
      from,
      Array.from({ length: headersSize - from }, (_, at) => filler[at % 4] ?? 0),
    );
  const image = appendSections("stub", padded([0x1f, 0x20, 0x03, 0xd5]), [{ name: ".osrel", bytes: bytesOf(10) }]);
  assert.equal(readPe("image", image).sections.at(-1), {
    name: ".osrel",
    size: 10,
    address: 0x1a000,
    fileOffset: 0x11400,
    fileSize: 512,
  });
  assert.equal([...image.subarray(from + 24, from + 40)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0x40]);
  assert.throws(() => appendSections("stub", padded([1, 2, 3, 4]), [{ name: ".osrel", bytes: bytesOf(10) }]), /something else/);
});

test("os-release, command line and kernel by themselves", () => {
  assert.is(releaseOf("x", "ID=a\nVERSION=1\n"), "ID=a\n");
  assert.is(commandLineOf("a b\n"), "a b");
  assert.throws(() => readKernelFile("k", Uint8Array.of(0x1f, 0x8b, 8)), /compressed with gzip/);
  assert.equal(readKernelFile("k", new Uint8Array(readFileSync(kernel))), { machine: 0x8664, release: version });
  assert.is(readKernelFile("k", stub).release, null);
});

test.run();
