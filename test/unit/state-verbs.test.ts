import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readControl } from "../../state-ops/read-control.ts";

const repository = join(import.meta.dirname, "../..");
const library = join(repository, "state-ops/fragments");

const systemText = `system: acme
slots:
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: unsigned
`;

interface Context {
  place: string;
}

const verbs = suite<Context>("state verbs", { place: "" });

/** A tree like Debian's, with one package's fragment. */
verbs.before.each((context) => {
  context.place = mkdtempSync(join(tmpdir(), "slipway-state-"));
  const root = join(context.place, "root");
  const directories = [
    "etc/systemd",
    "var/lib/dpkg",
    "var/lib/app",
    "var/tmp",
    "tmp",
    "home",
    "root",
    "run",
    "usr/share/slipway/state.d",
  ];
  for (const directory of directories) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:998:997::/:/bin/false\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\napp:x:997:\n");
  writeFileSync(join(root, "etc/machine-id"), "");
  writeFileSync(join(root, "var/lib/dpkg/status"), "Package: app\n");
  const fragment =
    'package: app\noperators:\n  - path: /var/lib/app\n    state: shared\n    reason: "counts up"\n    owner: app\n';
  writeFileSync(join(root, "usr/share/slipway/state.d/app.yaml"), fragment);
  writeFileSync(join(context.place, "system.yaml"), systemText);
});

verbs.after.each((context) => rmSync(context.place, { recursive: true, force: true }));

function slipway(context: Context, ...words: string[]): { code: number | null; out: string; error: string } {
  const args = [join(repository, "init/main.ts"), ...words];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: context.place, encoding: "utf8" });
  return { code: status, out: stdout, error: stderr };
}

const sources = ["--system", "system.yaml", "--root", "root"];

verbs("compile writes a control file that PID 1 reads; the library's fragments fit a Debian tree", (context) => {
  const { code, out, error } = slipway(context, "state", "compile", ...sources, "--fragments", library, "-o", "control.json");
  assert.is(code, 0, error);
  assert.match(out, /wrote control\.json: acme, slots a, \d+ operators, sha256:/);
  assert.match(out, /\/var\/lib\/app is shared, a rollback does not revert it: counts up/);
  const text = readFileSync(join(context.place, "control.json"), "utf8");
  const control = readControl(text);
  assert.equal(
    control.operators.map(({ path, via }) => `${path} ${via}`),
    [
      "/etc overlay",
      "/etc/machine-id bind",
      "/home bind",
      "/root bind",
      "/tmp tmpfs",
      "/var overlay",
      "/var/lib/app bind",
      "/var/tmp tmpfs",
    ],
  );
  const app = control.operators.find((operator) => operator.path === "/var/lib/app");
  assert.is(app?.owner, 998);
  assert.is(app?.origin, "app/usr/share/slipway/state.d/app.yaml:3");
  assert.not(text.includes(context.place) || text.includes(repository));
  const unsigned = text.replace(/"digest":"[^"]*",/, "");
  assert.is(control.digest, `sha256:${createHash("sha256").update(unsigned).digest("hex")}`);
});

verbs("the same sources give the same bytes wherever they lie", (context) => {
  slipway(context, "state", "compile", ...sources, "--fragments", library, "-o", "one.json");
  renameSync(join(context.place, "root"), join(context.place, "moved"));
  cpSync(library, join(context.place, "library"), { recursive: true });
  const { code } = slipway(
    context,
    "state",
    "compile",
    "--system",
    join(context.place, "system.yaml"),
    "--root",
    "moved",
    "--fragments",
    "library",
    "-o",
    "two.json",
  );
  assert.is(code, 0);
  assert.is(readFileSync(join(context.place, "two.json"), "utf8"), readFileSync(join(context.place, "one.json"), "utf8"));
});

verbs("bad input: exit code 2, places on standard error, the old output untouched", (context) => {
  writeFileSync(join(context.place, "control.json"), "old");
  writeFileSync(join(context.place, "system.yaml"), systemText.replace("ext4", "ext3"));
  const { code, out, error } = slipway(context, "state", "compile", ...sources, "-o", "control.json");
  assert.is(code, 2);
  assert.is(out, "");
  assert.match(error, /^system\.yaml:4:49: "filesystem" must be ext4 or xfs or btrfs, is "ext3"\n$/);
  assert.is(readFileSync(join(context.place, "control.json"), "utf8"), "old");
  assert.equal(readdirSync(context.place).sort(), ["control.json", "root", "system.yaml"]);
});

verbs("check says the same and writes nothing", (context) => {
  const good = slipway(context, "state", "check", ...sources);
  assert.is(good.code, 0, good.error);
  assert.match(good.out, /^compiles: acme/);
  assert.equal(readdirSync(context.place).sort(), ["root", "system.yaml"]);
  writeFileSync(
    join(context.place, "root/usr/share/slipway/state.d/b.yaml"),
    "package: b\noperators:\n  - { path: /opt, state: persistent }\n",
  );
  const bad = slipway(context, "state", "check", ...sources);
  assert.is(bad.code, 2);
  assert.match(bad.error, /^root\/usr\/share\/slipway\/state\.d\/b\.yaml:3:13: \/opt is missing from the image/);
});

verbs("what cannot be read or written is named, with exit code 2", (context) => {
  const cases: [string[], RegExp][] = [
    [["--root", "root", "-o", "x"], /--system is missing/],
    [["--system", "system.yaml", "-o", "x"], /--root is missing/],
    [[...sources], /--output \(-o\) is missing/],
    [["--system", "none.yaml", "--root", "root", "-o", "x"], /--system none\.yaml cannot be read: no such file/],
    [["--system", "system.yaml", "--root", "none", "-o", "x"], /--root none is no directory/],
    [[...sources, "--fragments", "none", "-o", "x"], /the fragments in none cannot be read/],
    [[...sources, "--previous", "system.yaml", "-o", "x"], /system\.yaml: control file: not JSON/],
    [[...sources, "-o", "none/x"], /--output none\/x: .*none is no directory/],
    [[...sources, "-o", "root"], /--output root is no regular file/],
    [[...sources, "-o", "x", "-o", "y"], /--output is given twice: x and y/],
    [["--system", "root", "--root", "root", "-o", "x"], /--system root is a directory, not a file/],
  ];
  for (const [words, message] of cases) {
    const { code, error } = slipway(context, "state", "compile", ...words);
    assert.is(code, 2, words.join(" "));
    assert.match(error, message);
  }
  assert.not(existsSync(join(context.place, "x")));
});

verbs("a user whose number changed is told at the line of the image's file, as an editor finds it", (context) => {
  assert.is(slipway(context, "state", "compile", ...sources, "-o", "old.json").code, 0);
  writeFileSync(join(context.place, "root/etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:999:997::/:/bin/false\n");
  const { code, error } = slipway(context, "state", "check", ...sources, "--previous", "old.json");
  assert.is(code, 2);
  assert.match(error, /^root\/etc\/passwd:2:1: the user "app" has the number 999 in this image and 998 in the previous/);
});

verbs("a fragment that would not be read is refused, and no link of the image is followed", (context) => {
  const fragments = join(context.place, "root/usr/share/slipway/state.d");
  writeFileSync(join(fragments, "late.yml"), "");
  assert.match(slipway(context, "state", "check", ...sources).error, /late\.yml would not be read; fragments end in \.yaml/);
  rmSync(join(fragments, "late.yml"));
  symlinkSync("/etc", join(context.place, "root/srv"));
  writeFileSync(join(fragments, "l.yaml"), "package: l\noperators:\n  - { path: /srv/ssl, state: persistent }\n");
  assert.match(slipway(context, "state", "check", ...sources).error, /l\.yaml:3:13: \/srv is a symlink to \/etc in the image/);
});

verbs("--fragments takes files and directories, in any order and as often as wanted", (context) => {
  const at = (name: string) => join(context.place, name);
  mkdirSync(at("more"));
  writeFileSync(at("more/a.yaml"), "package: a\noperators:\n  - { path: /home, state: persistent }\n");
  writeFileSync(at("b.yaml"), "package: b\noperators:\n  - { path: /tmp, state: ephemeral }\n");
  writeFileSync(at("b.txt"), "");
  const one = slipway(context, "state", "compile", ...sources, "--fragments", "more", "--fragments", "b.yaml", "-o", "one.json");
  assert.is(one.code, 0, one.error);
  const two = slipway(context, "state", "compile", ...sources, "--fragments", "b.yaml", "--fragments", "more", "-o", "two.json");
  assert.is(two.code, 0, two.error);
  const text = readFileSync(at("one.json"), "utf8");
  assert.is(readFileSync(at("two.json"), "utf8"), text);
  assert.equal(
    readControl(text).operators.map(({ origin }) => origin),
    ["a/a.yaml:3", "b/b.yaml:3", "app/usr/share/slipway/state.d/app.yaml:3"],
  );
  const [twice, other] = [["more", "more"], ["b.txt"]].map((places) =>
    slipway(context, "state", "check", ...sources, ...places.flatMap((place) => ["--fragments", place])),
  );
  assert.is(twice?.code, 0, "the same fragment twice is the same");
  assert.is(other?.code, 2);
  assert.match(other?.error ?? "", /--fragments b\.txt is no fragment; give a \.yaml file/);
});

verbs(
  "the image's own files are looked at: mounts, setuid files, keys; in directories that links lead to nothing is",
  (context) => {
    const at = (name: string) => join(context.place, "root", name);
    mkdirSync(at("opt/app"), { recursive: true });
    mkdirSync(at("usr/lib/systemd/system/local-fs.target.wants"), { recursive: true });
    writeFileSync(at("opt/app/su"), "x");
    chmodSync(at("opt/app/su"), 0o4755);
    writeFileSync(Buffer.concat([Buffer.from(`${at("opt/app")}/`), Buffer.of(0xff)]), "-----BEGIN PRIVATE KEY-----\n");
    symlinkSync("/etc", at("opt/app/elsewhere"));
    writeFileSync(at("etc/fstab"), "LABEL=home /home ext4\n");
    writeFileSync(at("usr/lib/systemd/system/var-tmp.mount"), "[Mount]\nWhere=/var/tmp\n");
    symlinkSync("../var-tmp.mount", at("usr/lib/systemd/system/local-fs.target.wants/var-tmp.mount"));
    const operators = ["path: /home, state: persistent", "path: /var/tmp, state: ephemeral", "path: /opt/app, state: identity"];
    const list = operators.map((operator) => `  - { ${operator} }\n`).join("");
    writeFileSync(join(context.place, "o.yaml"), `package: o\noperators:\n${list}`);
    const { code, error } = slipway(context, "state", "check", ...sources, "--fragments", "o.yaml");
    assert.is(code, 2);
    assert.equal(
      error
        .trim()
        .split("\n")
        .map((line) => line.replace(/(is hidden by|is a private key|is setuid).*/, "$1")),
      [
        "o.yaml:3:13: /home is hidden by",
        "o.yaml:4:13: /var/tmp is hidden by",
        "o.yaml:5:5: /opt/app/su is setuid",
        "o.yaml:5:5: /opt/app/\ufffd is a private key",
      ],
    );
  },
);

verbs.run();
