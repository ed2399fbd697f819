/** The library of fragments: the base ones on any tree, each optional one where the image has what its head says. */
import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compileTexts, problemsOf } from "../samples/compile.ts";
import { sampleImage } from "../samples/image.ts";

const library = `${import.meta.dirname}/../../state-ops/fragments`;

function fragmentsIn(directory: string): Record<string, string> {
  const names = readdirSync(directory).filter((name) => name.endsWith(".yaml"));
  return Object.fromEntries(names.map((name) => [name, readFileSync(`${directory}/${name}`, "utf8")]));
}

const base = fragmentsIn(library);
const optional = fragmentsIn(`${library}/optional`);

const pick = (name: string) => ({ [name]: base[name] ?? "" });

const files = { "/etc/machine-id": "", "/etc/passwd": "root:x:0:0::/root:/bin/sh\n", "/etc/group": "root:x:0:\n" };
const directories = ["/var/tmp", "/home", "/root", "/tmp"];
/** Neither systemd nor dbus nor openssh nor dpkg. */
const bare = sampleImage(files, directories);

/** What an optional fragment needs of the image, by its file; no entry: nothing that a bare tree does not have. */
const needs: Record<string, string> = {
  "cache.yaml": "/var/cache",
  "dbus.yaml": "/var/lib/dbus",
  "dpkg.yaml": "/var/lib/dpkg/alternatives",
  "journald.yaml": "/var/log/journal",
  "network.yaml": "/etc/systemd/network",
  "openssh-server.yaml": "/etc/ssh/keys",
  "rauc.yaml": "/var/lib/rauc",
};

function withPlaces(...places: string[]) {
  const dpkg = places.some((place) => place.startsWith("/var/lib/dpkg")) ? { "/var/lib/dpkg/status": "Package: x\n" } : {};
  return sampleImage({ ...files, ...dpkg }, [...directories, ...places]);
}

test("the base fragments compile on a tree that has nothing but the usual directories", () => {
  const { control, warnings } = compileTexts({ fragments: base, image: bare });
  assert.equal(
    control.operators.map(({ path, state, via }) => [path, state, via]),
    [
      ["/etc", "persistent", "overlay"],
      ["/etc/machine-id", "identity", "bind"],
      ["/home", "persistent", "bind"],
      ["/root", "persistent", "bind"],
      ["/tmp", "ephemeral", "tmpfs"],
      ["/var", "persistent", "overlay"],
      ["/var/tmp", "ephemeral", "tmpfs"],
    ],
  );
  assert.is(control.operators[0]?.merge, "keyed");
  assert.equal(warnings, []);
});

for (const name of ["dbus", "resolv-conf", "systemd-resolved"]) {
  test(`${name}.yaml alone asks for its link in the image`, () => {
    const image = sampleImage({ ...files, "/var/lib/dbus/other": "" }, directories);
    const problems = problemsOf({
      fragments: { ...pick("machine-id.yaml"), [`${name}.yaml`]: optional[`${name}.yaml`] ?? "" },
      image,
    });
    assert.match(problems.join("\n"), /must be a symlink to \S+ in the image, which is read-only; there is nothing/);
  });
}

for (const [name, text] of Object.entries(optional)) {
  const needed = needs[name];

  test(`${name} compiles beside them, on an image that has what its head says`, () => {
    const image = needed === undefined ? bare : withPlaces(needed);
    const fragments = { ...base, [name]: text };
    assert.ok(compileTexts({ fragments, image }).control.operators.length > Object.keys(base).length);
    assert.equal(compileTexts({ fragments, image }).warnings, []);
    assert.match(text, /^# /);
    if (needed !== undefined) assert.ok(text.includes(needed), `its head does not name ${needed}`);
  });

  if (!["cache.yaml", "journald.yaml", "network.yaml", "openssh-server.yaml", "rauc.yaml"].includes(name)) continue;
  test(`${name} alone says what is missing from an image that does not have it`, () => {
    assert.match(problemsOf({ fragments: { [name]: text }, image: bare }).join("\n"), /missing from the image/);
  });
}

test("all of them go together, but for two ways to name servers", () => {
  const image = withPlaces(...Object.values(needs));
  const { "systemd-resolved.yaml": resolved = "", ...others } = optional;
  assert.equal(problemsOf({ fragments: { ...base, ...others }, image }), []);
  const both = problemsOf({ fragments: { ...base, ...others, "systemd-resolved.yaml": resolved }, image }).join("\n");
  assert.match(both, /\/etc\/resolv\.conf is declared twice/);
  assert.match(both, /resolv-conf\.yaml/);
  assert.match(both, /systemd-resolved\.yaml/);
});

test("their README lists each of them, and no other", () => {
  const readme = readFileSync(`${library}/optional/README`, "utf8");
  const listed = [...readme.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map(([, name]) => `${name}.yaml`);
  assert.equal(listed.sort(), Object.keys(optional).sort());
});

test("host keys that the image ships are an error, in the directory of the keys", () => {
  const image = sampleImage(
    { ...files, "/etc/ssh/keys/ssh_host_ed25519_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n" },
    directories,
  );
  const fragments = { ...base, "openssh-server.yaml": optional["openssh-server.yaml"] ?? "" };
  assert.match(problemsOf({ fragments, image }).join("\n"), /\/etc\/ssh\/keys/);
});

test("what the head of home.yaml offers instead compiles", () => {
  const offered = /^# {3}- path: [\s\S]*?override: base-home\n/m.exec(base["home.yaml"] ?? "")?.[0] ?? "";
  const lines = offered.split("\n").map((line) => line.replace(/^# {2}/, ""));
  const own = `package: acme-home\noperators:\n${lines.filter((line) => line.trim() !== "").join("\n")}\n`;
  const { control } = compileTexts({ fragments: { ...base, "acme.yaml": own }, image: bare });
  assert.is(control.operators.find(({ path }) => path === "/home")?.state, "shared");
});

test.run();
