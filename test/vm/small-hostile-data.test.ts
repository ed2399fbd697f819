/** Every kind of operator in a whole boot, and a second boot after somebody wrote to the data partition while the machine was off. */

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { compileControl, madeOf } from "../../qemu/product.ts";
import { smallRootTree } from "../../qemu/roots.ts";
import { type TreeFiles, writeFiles } from "../../qemu/tree.ts";
import { onData } from "./support/data-on-disk.ts";
import { readMounts, shadowed } from "./support/mounts.ts";
import { commitOn } from "./support/record-on-disk.ts";
import { smallSystem } from "./support/small-image.ts";
import { boot, part, smallMachine } from "./support/small-machine.ts";

const fragment = `package: kinds
operators:
  - { path: /etc, state: persistent, via: overlay }
  - { path: /etc/host-uuid, state: identity, via: bind, seed: none, generate: uuid }
  - { path: /etc/machine-id, state: identity, via: bind, seed: none, generate: machine-id }
  - { path: /etc/note, state: ephemeral, via: bind, seed: { literal: "in memory\\n" } }
  - { path: /etc/password, via: mask }
  - { path: /etc/resolv.conf, state: ephemeral, via: symlink, target: /run/resolv.conf }
  - { path: /etc/sealed, via: readonly }
  - { path: /etc/secret, via: mask }
  - { path: /home, state: persistent, via: bind, on-failure: degraded }
  - { path: /opt, state: ephemeral, via: overlay, size: 1M, inodes: 50 }
  - { path: /run/app, state: ephemeral, mode: "0700" }
  - { path: /srv, state: shared, via: bind, reason: test, on-failure: degraded, context: "system_u:object_r:var_t:s0" }
  - { path: /var, state: persistent, via: bind, flags: [noexec] }
  - { path: /var/tmp, state: ephemeral, mode: "1777" }
`;

const files: TreeFiles = {
  "/etc/host-uuid": "",
  "/etc/machine-id": "",
  "/etc/note": "",
  "/etc/password": "shipped password\n",
  "/etc/sealed/file": "sealed\n",
  "/etc/secret/key": "shipped key\n",
  "/opt/file": "shipped\n",
  "/srv/readme": "shipped\n",
};

const script = `report kinds sh -c 'cat /etc/note; readlink /etc/resolv.conf; cat /etc/sealed/file /opt/file; ls -A /etc/secret; cat /etc/password'
report modes sh -c 'ls -ld /etc/secret /etc/password | cut -c1-10'
report writes sh -c 'echo x >/etc/sealed/file; echo x >/etc/secret/x; echo x >/etc/password; rmdir /etc/secret; mv -f /etc/password /etc/other; true' </dev/null
report uuid cat /etc/host-uuid
report kept sh -c 'cat /home/kept /srv/kept /var/kept; true'
report device sh -c 'cat /var/disk /srv/disk >/dev/null; true'
report run ls -A /run/slipway
report info cat /proc/self/mountinfo
for place in /home /srv /var; do echo kept in $place >$place/kept; done
echo changed >/opt/file
sync
`;

const system = smallSystem(["a"]);

/** The control file of an image with one operator of each kind. */
async function kindsControl(): Promise<string> {
  const directory = await madeOf("small-kinds-control", [system, fragment, files], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await smallRootTree(tree, { facts: "none", ending: "hang", directories: ["var/tmp", "home"] });
    writeFiles(tree, files);
    await compileControl(system, tree, `${aside}/control.json`, { "kinds.yaml": fragment });
    rmSync(tree, { recursive: true });
  });
  return readFileSync(`${directory}/control.json`, "utf8");
}

const machine = await smallMachine({
  system,
  size: "256M",
  slots: { a: { facts: "v1", script, files, directories: ["home"], control: await kindsControl() } },
});

const kinds = "in memory\n/run/resolv.conf\nsealed\nshipped";
let uuid = "";

test("every kind of operator is laid before the next init, and nothing of PID 1's is left", async () => {
  const told = await boot(machine);
  assert.equal(told.report.degraded, []);
  assert.equal(told.report.warnings, [UNPROVEN]);
  assert.is(part(told, "kinds"), kinds);
  assert.equal(part(told, "modes").split("\n"), ["----------", "d---------"]);
  const refused = part(told, "writes").split("\n");
  assert.is(refused.filter((line) => /Read-only file system/.test(line)).length, 3, part(told, "writes"));
  assert.is(refused.filter((line) => /busy/i.test(line)).length, 2, part(told, "writes"));
  uuid = part(told, "uuid");
  assert.match(uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  const left = part(told, "run").split("\n");
  for (const name of ["data", "memory", "layers"]) assert.not(left.includes(name), name);
  const mounts = readMounts(part(told, "info"));
  assert.equal(shadowed(mounts), []);
  assert.ok(mounts.find(({ path }) => path === "/var")?.options.includes("noexec"));
  assert.is(mounts.find(({ path }) => path === "/opt")?.type, "overlay");
});

test("a hostile data partition: what it spoiled is in memory, the rest is laid, and nothing leads out of a store", async () => {
  commitOn(machine.disk, "a");
  await onData(
    machine.disk,
    `mount "$DATA" /mnt
generation=/mnt/gens/000001
mv $generation/tree/home $generation/tree/elsewhere
ln -s elsewhere $generation/tree/home
rm -r /mnt/shared/srv
mknod /mnt/shared/srv b 254 0
mknod -m 666 $generation/tree/var/disk b 254 0
cp /bin/sh $generation/tree/var/sh
chmod 6755 $generation/tree/var/sh
rm -rf $generation/ovl/etc/upper/sealed
ln -s /run $generation/ovl/etc/upper/sealed
ln -sfn /gens/000001 /mnt/slots/b
ln -s / /mnt/gens/000009
mkdir -p /mnt/gens/.tmp-000007-x/a "/mnt/trash/new
line"
touch /mnt/trash/immutable
chattr +i /mnt/trash/immutable
umount /mnt
`,
  );
  const told = await boot(machine);
  const { report } = told;
  assert.is(told.root, "v1");
  assert.is(report.generation, "000001");
  assert.equal(
    report.degraded.map(({ path }) => path),
    ["/home", "/srv"],
  );
  assert.match(report.degraded[0]?.reason ?? "", /ELOOP|ENOTDIR/);
  assert.match(report.degraded[1]?.reason ?? "", /ENOTDIR/);
  assert.ok(report.warnings.includes("/etc/sealed was a symlink, which is now sealed.replaced beside it"), `${report.warnings}`);
  assert.is(part(told, "kinds"), kinds);
  assert.is(part(told, "uuid"), uuid);
  assert.match(part(told, "kept"), /kept in \/var$/);
  assert.not.match(part(told, "kept"), /kept in \/(home|srv)/);
  assert.match(part(told, "device"), /\/var\/disk.*Permission denied/);
  const mounts = readMounts(part(told, "info"));
  for (const path of ["/home", "/srv"]) assert.is(mounts.find((mount) => mount.path === path)?.type, "tmpfs", path);
  for (const path of ["/etc", "/home", "/srv", "/var"]) {
    const options = mounts.find((mount) => mount.path === path)?.options ?? [];
    assert.ok(options.includes("nosuid") && options.includes("nodev"), `${path}: ${options}`);
  }
});

test.run();
