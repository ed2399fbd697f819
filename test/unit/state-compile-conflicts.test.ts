/**
 * Each rule of what does not go together: what is refused, whichever file comes first, with the places of both; and the
 * nearest thing to it that is fine.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fragment, problemsOf, sampleDirectories, sampleTree } from "../samples/compile.ts";
import { type SampleFile, sampleImage } from "../samples/image.ts";

interface Rule {
  rule: string;
  /** One operator, or two that are declared in different files. */
  refused: string[];
  message: RegExp;
  /** Operators that compile together. */
  fine: string[];
  /** What the image has besides; `fineImage` where the fine case differs in that. */
  image?: Record<string, SampleFile>;
  fineImage?: Record<string, SampleFile>;
}

const persistentVar = "path: /var, state: persistent, via: bind";
const hostKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n";
const mount = (where: string): string => `[Unit]\nDescription=x\n[Mount]\nWhat=/dev/x\nWhere=${where}\n`;

const rules: Rule[] = [
  {
    rule: "one path has one owner",
    refused: ["path: /home, state: persistent", "path: /home, state: shared, reason: r"],
    message: /(?=.* \((p\d)\/.*"override: \1" here or "override: p\d" there)\/home is declared twice, here and at/,
    fine: ["path: /home, state: persistent", "path: /home, state: persistent"],
  },
  {
    rule: "one id names one store",
    refused: ["path: /home, state: persistent, id: x", "path: /tmp, state: persistent, id: x"],
    message: /the id "x" of \/tmp is also that of \/home, at/,
    fine: ["path: /home, state: persistent, id: x", "path: /tmp, state: persistent, id: y"],
  },
  {
    rule: "a derived id is an id",
    refused: ["path: /var/lib/empty, state: persistent", "path: /home, state: persistent, id: var-lib-empty"],
    message: /the id "var-lib-empty" of \/var\/lib\/empty is also that of \/home/,
    fine: ["path: /var/lib/empty, state: persistent", "path: /home, state: persistent, id: var-lib"],
  },
  {
    rule: "a store that is taken over belongs to nobody else",
    refused: ["path: /home, state: persistent, renamed-from: x", "path: /tmp, state: persistent, id: x"],
    message: /\/home takes its store over from "x", which is the id of \/tmp, at/,
    fine: ["path: /home, state: persistent, renamed-from: x", "path: /tmp, state: ephemeral, id: x"],
  },
  {
    rule: "a store is taken over once",
    refused: ["path: /home, state: persistent, renamed-from: x", "path: /tmp, state: persistent, renamed-from: x"],
    message: /both take the store "x" over, at/,
    fine: ["path: /home, state: persistent, renamed-from: x", "path: /tmp, state: persistent, renamed-from: y"],
  },
  {
    rule: "shared state holds no persistent state",
    refused: ["path: /var, state: shared, reason: r", "path: /var/lib, state: persistent"],
    message: /\/var\/lib is persistent below \/var, which is shared.*\(at/,
    fine: ["path: /var, state: persistent", "path: /var/lib, state: shared, reason: r"],
  },
  {
    rule: "identity holds no persistent state",
    refused: ["path: /var, state: identity", "path: /var/lib, state: persistent"],
    message: /\/var\/lib is persistent below \/var, which is identity.*\(at/,
    fine: ["path: /var, state: identity", "path: /var/lib, state: ephemeral"],
  },
  {
    rule: "nothing is inside a mask",
    refused: ["path: /var, via: mask", "path: /var/lib, state: persistent"],
    message: /\/var\/lib is inside \/var, which is masked.*\(at/,
    fine: ["path: /var, state: persistent", "path: /var/lib, via: mask"],
  },
  {
    rule: "nothing is inside a file",
    refused: ["path: /srv/file, state: persistent, via: bind", "path: /srv/file/x, state: ephemeral"],
    message: /\/srv\/file\/x is inside \/srv\/file, which is a file.*\(at/,
    fine: ["path: /srv/file, state: persistent, via: bind", "path: /srv, state: persistent"],
  },
  {
    rule: "nothing is inside a symlink",
    refused: [
      "path: /home/link, state: ephemeral, via: symlink, target: /run/x",
      "path: /home/link/x, state: ephemeral",
      "path: /home, state: ephemeral",
    ],
    message: /\/home\/link\/x is inside \/home\/link, which is a symlink.*\(at/,
    fine: [
      "path: /home/link, state: ephemeral, via: symlink, target: /run/x",
      "path: /home/link2/x, state: ephemeral",
      "path: /home, state: ephemeral",
    ],
  },
  {
    rule: "readonly is a hole in what can be written",
    refused: ["path: /srv, via: readonly"],
    message: /\/srv is read-only without "via: readonly"/,
    fine: ["path: /var/lib/dpkg, via: readonly", persistentVar],
  },
  {
    rule: "readonly in readonly is nothing",
    refused: ["path: /var/lib, via: readonly", "path: /var/lib/dpkg, via: readonly", persistentVar],
    message: /\/var\/lib\/dpkg is read-only without/,
    fine: ["path: /var/lib, via: readonly", "path: /var/lib/dpkg, state: persistent", persistentVar],
  },
  {
    rule: "an image's content is not hidden by an empty store",
    refused: ["path: /srv, state: persistent, seed: none"],
    message: /"seed: none" would hide what the image has at \/srv/,
    fine: ["path: /home, state: persistent, seed: none"],
  },
  {
    rule: "an image's file is not hidden by a literal",
    refused: ["path: /srv/file, state: persistent, via: bind, seed: { literal: x }"],
    message: /the literal would hide what the image has/,
    fine: ["path: /etc/fstab, state: persistent, via: bind, seed: { literal: x }"],
  },
  {
    rule: "there is something to begin with",
    refused: ["path: /tmp/x, state: persistent, seed: image", "path: /tmp, state: ephemeral"],
    message: /the image has nothing at \/tmp\/x/,
    fine: ["path: /tmp/x, state: persistent", "path: /tmp, state: ephemeral"],
  },
  {
    rule: "no store begins with a setuid file",
    refused: ["path: /opt/app, state: persistent"],
    message: /\/opt\/app\/bin\/su is setuid or setgid in the image.*persistent state at \/opt\/app/,
    fine: ["path: /opt/app, state: persistent"],
    image: { "/opt/app/bin/su": { kind: "file", text: "x", mode: 0o4755 } },
    fineImage: { "/opt/app/bin/su": { kind: "file", text: "x", mode: 0o755 } },
  },
  {
    rule: "no memory begins with a setgid file, an overlay copies none",
    refused: ["path: /opt/app, state: ephemeral"],
    message: /\/opt\/app\/a is setuid or setgid in the image \(and 1 more\)|\/opt\/app\/a \(and 1 more\) is setuid/,
    fine: ["path: /opt/app, state: persistent, via: overlay"],
    image: {
      "/opt/app/a": { kind: "file", text: "x", mode: 0o2755 },
      "/opt/app/b": { kind: "file", text: "x", mode: 0o6755 },
    },
  },
  {
    rule: "no store begins with a device node",
    refused: ["path: /opt/app, state: shared, reason: r"],
    message: /\/opt\/app\/null is a device node in the image.*shared state at \/opt\/app/,
    fine: ["path: /opt/app, state: shared, reason: r"],
    image: { "/opt/app/null": { kind: "device" } },
    fineImage: { "/opt/app/fifo": { kind: "pipe" } },
  },
  {
    rule: "memory holds what it begins with: bytes",
    refused: ["path: /opt/app, state: ephemeral, size: 8K"],
    message: /the image's content of \/opt\/app needs 12288 bytes, and "size" is 8192/,
    fine: ["path: /opt/app, state: ephemeral, size: 12K"],
    image: { "/opt/app/a": "x".repeat(5000), "/opt/app/b": "x" },
  },
  {
    rule: "memory holds what it begins with: inodes",
    refused: ["path: /opt/app, state: ephemeral, inodes: 2"],
    message: /the image's content of \/opt\/app needs 3 inodes, and "inodes" is 2/,
    fine: ["path: /opt/app, state: ephemeral, inodes: 3"],
    image: { "/opt/app/a": "x", "/opt/app/b": "x" },
  },
  {
    rule: "identity is not the same on all devices: a key by its content",
    refused: ["path: /opt/app, state: identity"],
    message: /\/opt\/app\/tls\/device.pem is a private key/,
    fine: ["path: /opt/app, state: persistent"],
    image: { "/opt/app/tls/device.pem": "-----BEGIN PRIVATE KEY-----\nMIG\n" },
  },
  {
    rule: "identity is not the same on all devices: a key by its name",
    refused: ["path: /opt/ssh, state: identity"],
    message: /\/opt\/ssh\/ssh_host_rsa_key is a private key/,
    fine: ["path: /opt/ssh, state: identity"],
    image: { "/opt/ssh/ssh_host_rsa_key": "binary" },
    fineImage: { "/opt/ssh/ssh_host_rsa_key.pub": "ssh-rsa AAAA" },
  },
  {
    rule: "identity is not the same on all devices: a key file",
    refused: ["path: /opt/key, state: identity, via: bind"],
    message: /\/opt\/key is a private key/,
    fine: ["path: /opt/key, state: identity, via: bind"],
    image: { "/opt/key": hostKey },
    fineImage: { "/opt/key": "-----BEGIN CERTIFICATE-----\n" },
  },
  {
    rule: "identity is not the same on all devices: a literal",
    refused: ['path: /opt/key, state: identity, via: bind, seed: { literal: "-----BEGIN EC PRIVATE KEY-----" }'],
    message: /\/opt\/key is a private key/,
    fine: ['path: /opt/key, state: identity, via: bind, seed: { literal: "-----BEGIN PUBLIC KEY-----" }'],
    image: { "/opt/key": "" },
  },
  {
    rule: "identity is not the same on all devices: a filled machine id",
    refused: ["path: /etc/machine-id, state: identity, via: bind"],
    message: /\/etc\/machine-id is a machine id/,
    fine: ["path: /etc/machine-id, state: identity, generate: machine-id"],
    image: { "/etc/machine-id": "0123456789abcdef0123456789abcdef\n" },
    fineImage: { "/etc/machine-id": "" },
  },
  {
    rule: "identity is not the same on all devices: a literal machine id",
    refused: ['path: /etc/machine-id, state: identity, via: bind, seed: { literal: "0123456789abcdef0123456789abcdef" }'],
    message: /\/etc\/machine-id is a machine id.*say "generate: machine-id"/,
    fine: ["path: /etc/machine-id, state: identity, generate: machine-id"],
  },
  {
    rule: "an overlay shows something: where the image has nothing, the remedy is one that compiles",
    refused: ["path: /tmp/x, state: ephemeral, via: overlay", "path: /tmp, state: persistent"],
    message: /^\d\.yaml:3:44: the image has nothing at \/tmp\/x .*leave "via: overlay" away/,
    fine: ["path: /tmp/x, state: ephemeral", "path: /tmp, state: persistent"],
  },
  {
    rule: "a filled machine id is not made anew",
    refused: ["path: /etc/machine-id, state: identity, generate: machine-id"],
    message: /\/etc\/machine-id has content in the image.*ship it as an empty file/,
    fine: ["path: /etc/machine-id, state: identity, generate: machine-id"],
    image: { "/etc/machine-id": "0123456789abcdef0123456789abcdef\n" },
    fineImage: { "/etc/machine-id": "uninitialized\n" },
  },
  {
    rule: "a mount point is in the image",
    refused: ["path: /opt/app, state: persistent"],
    message: /\/opt is missing from the image, which is read-only; make it there \(an empty directory \/opt\/app\)/,
    fine: ["path: /tmp/opt/app, state: persistent", "path: /tmp, state: ephemeral"],
  },
  {
    rule: "a mount point can be made in an overlay and in a bind, not in a hole",
    refused: ["path: /var/lib/dpkg/new, state: ephemeral", "path: /var/lib/dpkg, via: readonly", persistentVar],
    message: /\/var\/lib\/dpkg\/new is missing from the image/,
    fine: [
      "path: /var/lib/new, state: ephemeral",
      "path: /etc/new, state: ephemeral",
      persistentVar,
      "path: /etc, state: persistent",
    ],
  },
  {
    rule: "a generated file needs a mount point too",
    refused: ["path: /opt/id, state: identity, generate: uuid"],
    message: /\/opt is missing from the image.*\(an empty file \/opt\/id\)/,
    fine: ["path: /home/id, state: identity, generate: uuid", "path: /home, state: persistent"],
  },
  {
    rule: "a mount point is of the right kind: generated over a directory",
    refused: ["path: /home, state: identity, generate: uuid"],
    message: /\/home is a directory in the image, and "generate: uuid" makes a file/,
    fine: ["path: /etc/fstab, state: identity, generate: uuid"],
  },
  {
    rule: "a mount point is of the right kind: a literal over a directory",
    refused: ["path: /home, state: persistent, via: bind, seed: { literal: x }"],
    message: /\/home is a directory in the image, and a literal/,
    fine: ["path: /etc/fstab, state: persistent, via: bind, seed: { literal: x }"],
  },
  {
    rule: "a mount point is of the right kind: an overlay over a file",
    refused: ["path: /srv/file, state: persistent, via: overlay"],
    message: /this is a file, and "via: overlay" needs a directory/,
    fine: ["path: /srv, state: persistent, via: overlay"],
  },
  {
    rule: "a mount point is a file or a directory",
    refused: ["path: /opt/pipe, state: persistent, via: bind"],
    message: /\/opt\/pipe is neither a directory nor a file/,
    fine: ["path: /opt/pipe, state: persistent, via: bind"],
    image: { "/opt/pipe": { kind: "pipe" } },
    fineImage: { "/opt/pipe": "" },
  },
  {
    rule: "single files are not bound unasked",
    refused: ["path: /srv/file, state: persistent"],
    message: /programs replace files by rename/,
    fine: ["path: /srv/file, state: persistent, via: bind"],
  },
  {
    rule: "no symlink on the way",
    refused: ["path: /var/run/app, state: ephemeral"],
    message: /\/var\/run is a symlink to \/run in the image; name the path that it leads to/,
    fine: ["path: /run/app, state: ephemeral"],
  },
  {
    rule: "no symlink on the way, even where the mount point could be made",
    refused: ["path: /var/run/app, state: ephemeral", persistentVar],
    message: /\/var\/run is a symlink to \/run/,
    fine: ["path: /var/ran/app, state: ephemeral", persistentVar],
  },
  {
    rule: "the image has the very symlink",
    refused: ["path: /opt/link, state: ephemeral, via: symlink, target: /run/x"],
    message: /\/opt\/link must be a symlink to \/run\/x in the image, which is read-only; it points to \/run\/y/,
    fine: ["path: /opt/link, state: ephemeral, via: symlink, target: /run/x"],
    image: { "/opt/link": { target: "/run/y" } },
    fineImage: { "/opt/link": { target: "/run/x" } },
  },
  {
    rule: "a symlink that is missing can be made in what can be written",
    refused: ["path: /opt/link, state: ephemeral, via: symlink, target: /run/x"],
    message: /there is nothing: make it there/,
    fine: ["path: /home/link, state: ephemeral, via: symlink, target: /run/x", "path: /home, state: persistent"],
    image: { "/opt/file": "" },
  },
  {
    rule: "a symlink replaces no directory",
    refused: ["path: /var/lib, state: ephemeral, via: symlink, target: /run/x", persistentVar],
    message: /\/var\/lib is a directory in the image, and "via: symlink" makes a link/,
    fine: ["path: /var/lib/dpkg/status, state: ephemeral, via: symlink, target: /run/x", persistentVar],
  },
  {
    rule: "a symlink points to what is kept as long",
    refused: ["path: /home/link, state: persistent, via: symlink, target: /tmp/x", "path: /home, state: persistent"],
    message: /\/home\/link is a symlink to \/tmp\/x, where no operator says/,
    fine: [
      "path: /home/link, state: persistent, via: symlink, target: /tmp/x",
      "path: /home, state: persistent",
      "path: /tmp, state: persistent",
    ],
  },
  {
    rule: "a symlink points to what is kept no shorter",
    refused: [
      "path: /home/link, state: persistent, via: symlink, target: /tmp/x",
      "path: /home, state: persistent",
      "path: /tmp, state: ephemeral",
    ],
    message: /where \/tmp, which is ephemeral says how long.*\(at/,
    fine: [
      "path: /home/link, state: identity, via: symlink, target: /tmp/x",
      "path: /home, state: persistent",
      "path: /tmp, state: identity",
    ],
  },
  {
    rule: "the image's fstab does not mount the same",
    refused: ["path: /home, state: persistent"],
    message: /\/home is hidden by the mount of \/home that the image makes itself, \/etc\/fstab:2/,
    fine: ["path: /home, state: persistent"],
    image: { "/etc/fstab": "# home\nLABEL=home /home/ ext4 defaults 0 2\n" },
    fineImage: { "/etc/fstab": "#LABEL=home /home ext4 defaults 0 2\nLABEL=home /home ext4 noauto 0 2\n/dev/x none swap sw\n" },
  },
  {
    rule: "the image's fstab does not mount above",
    refused: ["path: /var/lib/empty, state: persistent"],
    message: /\/var\/lib\/empty is hidden by the mount of \/var that the image makes itself, \/etc\/fstab:1/,
    fine: ["path: /var/lib/empty, state: persistent"],
    image: { "/etc/fstab": "LABEL=var\t/var\text4\n" },
    fineImage: { "/etc/fstab": "LABEL=x / ext4 ro\nLABEL=v /var/lib/empty/deep ext4\ntmpfs /va tmpfs\n" },
  },
  {
    rule: "fstab's own escapes are read",
    refused: ["path: /opt/a b, state: persistent"],
    message: /hidden by the mount of \/opt\/a b/,
    fine: ["path: /opt/a b, state: persistent"],
    image: { "/opt/a b/x": "", "/etc/fstab": "LABEL=x /opt/a\\040b ext4\n" },
    fineImage: { "/opt/a b/x": "", "/etc/fstab": "LABEL=x /opt/a\\040c ext4\n" },
  },
  {
    rule: "no enabled unit mounts the same",
    refused: ["path: /home, state: persistent"],
    message: /\/home is hidden by the mount of \/home that the image makes itself, \/usr\/lib\/systemd\/system\/home\.mount/,
    fine: ["path: /home, state: persistent"],
    image: {
      "/usr/lib/systemd/system/home.mount": mount("/home"),
      "/etc/systemd/system/local-fs.target.wants/home.mount": { target: "/usr/lib/systemd/system/home.mount" },
    },
    fineImage: { "/usr/lib/systemd/system/home.mount": mount("/home") },
  },
  {
    rule: "an enabled unit that is masked mounts nothing",
    refused: ["path: /var/lib/empty, state: persistent"],
    message: /hidden by the mount of \/var\/lib .*\/etc\/systemd\/system\/var-lib\.mount/,
    fine: ["path: /var/lib/empty, state: persistent"],
    image: {
      "/etc/systemd/system/var-lib.mount": mount("/var/lib"),
      "/etc/systemd/system/multi-user.target.requires/var-lib.mount": { target: "../var-lib.mount" },
    },
    fineImage: {
      "/etc/systemd/system/var-lib.mount": { target: "/dev/null" },
      "/usr/lib/systemd/system/var-lib.mount": mount("/var/lib"),
      "/usr/lib/systemd/system/local-fs.target.wants/var-lib.mount": { target: "../var-lib.mount" },
    },
  },
  {
    rule: "an automount mounts too; what it mounts is known by the unit's name where nothing else says",
    refused: ["path: /opt/my-app, state: persistent"],
    message: /hidden by the mount of \/opt\/my-app/,
    fine: ["path: /opt/my, state: persistent"],
    image: {
      "/opt/my-app/x": "",
      "/opt/my/x": "",
      "/usr/lib/systemd/system/opt-my\\x2dapp.mount": "[Mount]\nWhat=x\n",
      "/usr/lib/systemd/system/local-fs.target.wants/opt-my\\x2dapp.automount": { target: "../x" },
    },
  },
  ...[
    "/",
    "/run",
    "/usr",
    "/usr/local",
    "/proc",
    "/proc/sys",
    "/sys",
    "/dev",
    "/dev/shm",
    "/run/slipway",
    "/run/slipway/data/x",
  ].map(
    (path): Rule => ({
      rule: `${path} is no place for state`,
      refused: [`path: ${path}, state: ephemeral`],
      message: /itself cannot be an operator's path|cannot be an operator's path: /,
      fine: ["path: /run/slipways, state: ephemeral"],
    }),
  ),
  {
    rule: "below /run everything is ephemeral",
    refused: ["path: /run/x, state: persistent"],
    message: /\/run\/x is below \/run, which is made anew at every boot/,
    fine: ["path: /run/x, state: ephemeral, size: 1M, inodes: 100, flags: [noexec]"],
  },
  {
    rule: "below /run nothing is masked",
    refused: ["path: /run/x, via: mask"],
    message: /\/run\/x is below \/run/,
    fine: ["path: /home, via: mask"],
  },
  {
    rule: "an override replaces something",
    refused: ["path: /home, state: persistent, override: other", "path: /home, state: shared, reason: r"],
    message: /\/home has no operator of package "other" to replace; there is that of \w+ at/,
    fine: ["path: /home, state: persistent, override: p1", "path: /home, state: shared, reason: r"],
  },
  {
    rule: "a path is overridden once",
    refused: [
      "path: /home, state: persistent, override: p2",
      "path: /home, state: ephemeral, override: p2",
      "path: /home, state: shared, reason: r",
    ],
    message: /\/home is overridden twice, here and at/,
    fine: ["path: /home, state: persistent, override: p1", "path: /home, state: shared, reason: r"],
  },
];

/** Each operator in a file and a package of its own, named by its place in the list. */
function files(operators: readonly string[], order: readonly number[]): Record<string, string> {
  return Object.fromEntries(
    order.map((index, position) => [`${position}.yaml`, fragment([operators[index] ?? ""], `p${index}`)]),
  );
}

function imageWith(more: Record<string, SampleFile> | undefined) {
  return sampleImage({ ...sampleTree, ...more }, sampleDirectories);
}

/** The list's indexes in each order that moves the first. */
function orders(length: number): number[][] {
  const straight = Array.from({ length }, (_, index) => index);
  return [straight, [...straight].reverse()];
}

for (const { rule, refused, message, fine, image, fineImage } of rules) {
  test(`refused: ${rule}`, () => {
    for (const order of orders(refused.length)) {
      // An override names a package, which must stay with its operator.
      const lines = problemsOf({ fragments: files(refused, order), image: imageWith(image) });
      const found = lines.filter((line) => message.test(line));
      assert.ok(found.length >= 1, `${refused.join(" | ")}: ${lines.join("\n") || "it compiled"}`);
      for (const line of lines) assert.match(line, /^\d\.yaml:3:\d+: ./);
      if (/\bat$|\(at/.test(message.source)) {
        const named = found.filter((line) => /at \d\.yaml:3:\d+ \(p\d\/\d\.yaml:3\)/.test(line.slice(10)));
        assert.is(named.length, found.length, lines.join("\n"));
        for (const line of found) {
          const other = /at (\d)\.yaml/.exec(line)?.[1];
          assert.is.not(other, line[0], `names the other place: ${line}`);
        }
      }
    }
  });

  test(`fine beside it: ${rule}`, () => {
    for (const order of orders(fine.length)) {
      assert.equal(problemsOf({ fragments: files(fine, order), image: imageWith(fineImage ?? image) }), []);
    }
  });
}

test.run();
