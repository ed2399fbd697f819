import { test } from "uvu";
import * as assert from "uvu/assert";
import { forEveryArchitecture, keepSuites, suiteKind } from "../../qemu/apt-sources.ts";

test("a suite's name says what it is for", () => {
  for (const name of ["bookworm", "stable", "sid", "trixie"]) assert.is(suiteKind(name), "release", name);
  for (const name of ["bookworm-security", "stable/updates"]) assert.is(suiteKind(name), "security", name);
  for (const name of ["bookworm-updates", "bookworm-backports", "bookworm-proposed-updates", "./", "deb/"])
    assert.is(suiteKind(name), null, name);
});

const stanzas = `# written by the installer
Types: deb deb-src
# a comment within
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security
suites: bookworm-security
Components: main
\t
Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: bookworm
Components: main
`;

test("of deb822 stanzas only those with a wanted suite are kept, and of these only the wanted suites", () => {
  const files = [{ name: "debian.sources", text: stanzas }];
  const release = `Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
`;
  const security = `Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;
  assert.equal(keepSuites(files, ["release"]), [{ name: "debian.sources", text: release }]);
  assert.equal(keepSuites(files, ["security"]), [{ name: "debian.sources", text: security }]);
  assert.equal(keepSuites(files, ["release", "security"]), [{ name: "debian.sources", text: `${release}\n${security}` }]);
});

const lines = `# deb http://mirror.example/debian bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg ] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb\thttp://mirror.example/debian-security  bookworm-security\tmain
deb http://flat.example/debian ./
`;

test("so are lines of the one-line style, with their options", () => {
  const kept = (kinds: ("release" | "security")[]) => keepSuites([{ name: "sources.list", text: lines }], kinds);
  const [, release = "", , , security = ""] = lines.split("\n");
  assert.equal(kept(["release"]), [{ name: "sources.list", text: `${release}\n` }]);
  assert.equal(kept(["release", "security"]), [{ name: "sources.list", text: `${release}\n${security}\n` }]);
});

test("a file of which nothing is wanted is left out", () => {
  const files = [
    { name: "debian.sources", text: stanzas.split("\n\n")[0] ?? "" },
    { name: "sources.list", text: lines },
  ];
  assert.equal(
    keepSuites(files, ["security"]).map(({ name }) => name),
    ["sources.list"],
  );
  assert.equal(keepSuites([], ["release"]), []);
});

test("restrictions to architectures are taken out, and nothing else", () => {
  const lines = `deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg ] http://mirror.example/debian bookworm main
deb [arch=amd64,i386] http://mirror.example/debian bookworm-updates main
deb [signed-by=/a.gpg arch-=armhf] http://arch.example/arch=x bookworm main
# deb [arch=amd64] http://comment.example/ x y
deb http://mirror.example/debian bookworm contrib
`;
  const list = forEveryArchitecture({ name: "debian.list", text: lines });
  assert.is(list.name, "debian.list");
  assert.is(
    list.text,
    `deb [ signed-by=/usr/share/keyrings/a.gpg ] http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb [signed-by=/a.gpg ] http://arch.example/arch=x bookworm main
# deb [arch=amd64] http://comment.example/ x y
deb http://mirror.example/debian bookworm contrib
`,
  );
  const stanza =
    "Types: deb\nArchitectures: amd64\n i386\nURIs: http://mirror.example/debian\narchitectures-remove: armhf\nSuites: sid\n";
  assert.is(
    forEveryArchitecture({ name: "debian.sources", text: stanza }).text,
    "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\n",
  );
});

test.run();
