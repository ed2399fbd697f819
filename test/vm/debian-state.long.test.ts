/**
 * What an administrator does on a Debian with the library's fragments, over a reboot, an update that fails, and the way
 * back: each change is kept, reverted or gone as its fragment says, and no unit fails.
 */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { project } from "../../qemu/places.ts";
import { initrdFor } from "../../qemu/product.ts";
import type { TreeFiles } from "../../qemu/tree.ts";
import { committed, type Debian, powerOff, reboot, startDebian, statusOf } from "./support/debian.ts";
import { checkData, dataFeatures } from "./support/disk-file.ts";

const system = `${demoSystem}tries: { trial: 1, committed: 10 }\n`;
const files: TreeFiles = {
  "/etc/ssh/sshd_config.d/slipway.conf": readFileSync(`${project}/state-ops/fragments/optional/openssh-server.conf`, "utf8"),
  "/usr/lib/systemd/system/greeting.service": `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
`,
};
/** v2 waits for somebody to say how it is, so that its trial lasts. */
const filesOfV2: TreeFiles = {
  ...files,
  "/etc/motd": "motd of v2\n",
  "/var/lib/dpkg/info/only-in-v2.list": "/.\n",
  "/usr/lib/systemd/system/verdict.service": `[Unit]
Description=Waits for the verdict
Before=boot-complete.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh -c 'until test -e /run/verdict; do sleep 0.5; done; exit 1'
`,
  "/usr/lib/systemd/system/boot-complete.target.d/verdict.conf": "[Unit]\nRequires=verdict.service\n",
};
/** A system user that a package of v2 brings. */
const usersOfV2 = {
  "/etc/passwd": "gateway:x:990:990::/nonexistent:/usr/sbin/nologin\n",
  "/etc/group": "gateway:x:990:\n",
  "/etc/shadow": "gateway:!*:20000::::::\n",
};
const image = {
  system,
  packages: ["openssh-server"],
  library: ["cache", "dbus", "dpkg", "journald", "network", "openssh-server", "resolv-conf"],
  directories: ["/etc/ssh/keys"],
};
const v1 = await demoImage({ ...image, version: "v1", files });
const v2 = await demoImage({ ...image, version: "v2", files: filesOfV2, lines: usersOfV2 });
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  const initrd = await initrdFor(v1.control);
  debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image, b: v2.image }, system), timeoutMs: 880_000 });
  ({ shell } = debian);
  await shell.ready();
});

test.after(async () => {
  await debian.machine.cutPower();
});

/** What commands say that show one setting each. */
const settings = {
  hostname: "hostname; cat /etc/hostname",
  timezone: "readlink -f /etc/localtime; date +%Z",
  users: "getent passwd anna bert gateway",
  password: "getent shadow anna bert gateway",
  extraKeys: "ls -l --time-style=full-iso /etc/ssh/ssh_host_*; sha256sum /etc/ssh/ssh_host_*",
  enabled: "systemctl is-enabled greeting.service",
  alternatives: "update-alternatives --query pager | grep -E '^(Status|Value)'; readlink /etc/alternatives/pager",
  cache: "cat /var/cache/words",
  files: "ls -A /home/anna /home/bert; cat /home/anna/note",
} as const;
type Setting = keyof typeof settings;

/** What each of them says now. */
async function read(): Promise<Record<Setting, string>> {
  const command = Object.entries(settings).map(([name, words]) => `echo '<${name}>'; { ${words}; } 2>/dev/null; echo '</>'`);
  const said = await shell.must(command.join("; "));
  const of = (name: Setting): string => new RegExp(`<${name}>\\n([^]*?)\\n?</>`).exec(said)?.[1] ?? `no ${name} in ${said}`;
  return {
    hostname: of("hostname"),
    timezone: of("timezone"),
    users: of("users"),
    password: of("password"),
    extraKeys: of("extraKeys"),
    enabled: of("enabled"),
    alternatives: of("alternatives"),
    cache: of("cache"),
    files: of("files"),
  };
}

/** By what others know this machine. */
const identity = () => shell.must("cat /etc/machine-id; sha256sum /etc/ssh/keys/*");

/** Logs in over ssh; the host's key must be the one that was seen first. */
async function login(user: string, check: "accept-new" | "yes"): Promise<string> {
  const options = `-o BatchMode=yes -o StrictHostKeyChecking=${check} -o HostKeyAlgorithms=ssh-ed25519 -i /root/.ssh/key`;
  return shell.must(`ssh ${options} ${user}@127.0.0.1 'id -un; hostname' 2>/dev/null`);
}

let known = "";
let ofV1: Record<Setting, string>;

test("v1: keys were made before sshd started, with nothing in /etc/ssh", async () => {
  await committed(shell, "a");
  assert.is(await shell.must("systemctl is-active ssh.service slipway-ssh-keys.service"), "active\nactive");
  assert.is(
    await shell.must("cd /etc/ssh/keys; stat -c '%a %U' .; ls -A; stat -c '%a %U %n' *_key"),
    "700 root\nssh_host_ecdsa_key\nssh_host_ecdsa_key.pub\nssh_host_ed25519_key\nssh_host_ed25519_key.pub\n600 root ssh_host_ecdsa_key\n600 root ssh_host_ed25519_key",
  );
  assert.is((await shell.run("ls /etc/ssh/ssh_host_* 2>/dev/null")).output, "");
  known = await identity();
});

test("v1: hostnamectl, timedatectl, useradd, passwd, ssh-keygen -A, systemctl enable do their work", async () => {
  await shell.must("hostnamectl set-hostname first-name");
  await shell.must("timedatectl set-timezone Europe/Berlin");
  const said = await shell.must("hostnamectl hostname; timedatectl show --property=Timezone --value");
  assert.is(said, "first-name\nEurope/Berlin");
  await shell.must("useradd --create-home --shell /bin/bash anna && printf 'one word\\none word\\n' | passwd anna");
  await shell.must("echo of v1 > /home/anna/note");
  await shell.must("ssh-keygen -A", 240_000);
  await shell.must("systemctl enable --now greeting.service");
  await shell.must("echo '[Match]' > /etc/systemd/network/10-v1.network; echo of v1 > /var/cache/words");
  await shell.must("update-alternatives --set pager /bin/more");
  ofV1 = await read();
  assert.is(ofV1.hostname, "first-name\nfirst-name");
  assert.match(ofV1.timezone, /^\/usr\/share\/zoneinfo\/Europe\/Berlin\nCE/);
  assert.match(ofV1.users, /^anna:x:1000:1000:.*:\/home\/anna:\/bin\/bash$/);
  assert.match(ofV1.password, /^anna:\$y\$/);
  assert.match(ofV1.extraKeys, /ssh_host_rsa_key/);
  assert.is(ofV1.enabled, "enabled");
  assert.is(ofV1.alternatives, "Status: manual\nValue: /bin/more\n/bin/more");
});

test("v1: package data is the image's, D-Bus knows the machine by its one id, name servers are this boot's", async () => {
  const { output, exitCode } = await shell.run("dpkg --status bash >/dev/null && touch /var/lib/dpkg/written");
  assert.is(exitCode, 1);
  assert.match(output, /Read-only file system/);
  assert.is(
    await shell.must("readlink /var/lib/dbus/machine-id; cmp /var/lib/dbus/machine-id /etc/machine-id"),
    "/etc/machine-id",
  );
  await shell.must("echo nameserver 192.0.2.1 > /etc/resolv.conf");
  assert.is(await shell.must("readlink /etc/resolv.conf; cat /run/resolv.conf"), "/run/resolv.conf\nnameserver 192.0.2.1");
});

test("v1: a login over ssh", async () => {
  await shell.must("mkdir -p -m 700 /root/.ssh ~anna/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/key");
  await shell.must("cp /root/.ssh/key.pub ~anna/.ssh/authorized_keys && chown -R anna: ~anna");
  assert.is(await login("anna", "accept-new"), "anna\nfirst-name");
  ofV1 = await read();
});

test("v2 boots on trial with a clone of it; what is ephemeral is gone", async () => {
  await shell.must("touch /tmp/lost /var/tmp/lost /run/lost; logger --tag story word of v1; slipway activate b");
  await reboot(debian);
  const status = await statusOf(shell);
  assert.equal([status.running.slot, status.running.uncommitted], ["b", true]);
  const { users, password, ...others } = await read();
  assert.equal({ ...others, users: ofV1.users, password: ofV1.password, cache: ofV1.cache }, { ...ofV1 });
  assert.is(users, `${ofV1.users}\ngateway:x:990:990::/nonexistent:/usr/sbin/nologin`);
  assert.is(password, `${ofV1.password}\ngateway:!*:20000::::::`);
  assert.is(others.cache, "", "an update copies no cache");
  assert.is(await identity(), known);
  assert.is(
    await shell.must("cat /etc/motd; ls /var/lib/dpkg/info/only-in-v2.list"),
    "motd of v2\n/var/lib/dpkg/info/only-in-v2.list",
  );
  assert.is(await shell.must("systemctl is-active greeting.service"), "active");
  assert.is(await login("anna", "yes"), "anna\nfirst-name");
  assert.is((await shell.run("ls /tmp/lost /var/tmp/lost /run/lost /run/resolv.conf 2>/dev/null")).output, "");
});

test("v2 is changed in all of it", async () => {
  await shell.must("hostnamectl set-hostname second-name && timedatectl set-timezone Asia/Tokyo");
  await shell.must(
    "useradd --create-home bert && printf 'other\\nother\\n' | passwd anna && usermod --comment second anna; echo of v2 > /home/anna/note",
  );
  await shell.must("rm /etc/ssh/ssh_host_ed25519_key* && ssh-keygen -A && systemctl disable greeting.service");
  await shell.must("echo '[Match]' > /etc/systemd/network/20-v2.network; rm /etc/systemd/network/10-v1.network");
  await shell.must("update-alternatives --auto pager; echo of v2 > /var/cache/words; logger --tag story word of v2");
  const changed = await read();
  for (const [name, value] of Object.entries(ofV1))
    assert.ok(!Object.values(changed).includes(value), `${name} is ${value} still`);
});

test("v2 fails: v1 comes back with its own state, the same identity, and what is shared as v2 left it", async () => {
  shell.type("touch /run/verdict");
  await debian.machine.expect("reboot: Restarting system", 240_000);
  await shell.ready();
  const status = await committed(shell, "a");
  assert.equal([status.rollback?.from, status.rollback?.to], ["b", "a"]);
  assert.equal(await read(), ofV1);
  assert.is(await identity(), known);
  assert.is(await login("anna", "yes"), "anna\nfirst-name");
  assert.is(await shell.must("ls /etc/systemd/network"), "20-v2.network");
  assert.is((await shell.run("grep v2 /etc/motd || ls /var/lib/dpkg/info/only-in-v2.list 2>/dev/null")).output, "");
});

test("the journal tells of all boots, those of the failed image too", async () => {
  const boots = (await shell.must("journalctl --list-boots --no-pager --quiet")).split("\n");
  assert.equal(
    boots.map((line) => line.trim().split(/\s+/)[0]).filter((index) => /^-?\d+$/.test(index ?? "")),
    ["-2", "-1", "0"],
  );
  assert.match(await shell.must("journalctl -b -1 --no-pager --quiet -t story"), /word of v2/);
  assert.match(await shell.must("journalctl -b -2 --no-pager --quiet -t story"), /word of v1/);
  assert.match(await shell.must("journalctl -b -1 --no-pager --quiet -u verdict.service"), /Failed with result/);
});

test("slipway tells of it: the failed attempt's log, and who may write what", async () => {
  assert.match(await shell.must("slipway journal 2 | grep 'story.*word'"), /word of v2/);
  const paths = "/etc/ssh/keys/ssh_host_ed25519_key /var/log/journal /etc/hostname";
  const explained = await shell.must(`for path in ${paths}; do slipway state explain $path; done`);
  assert.match(explained, /openssh-server\.yaml:\d+/);
  assert.match(explained, /journald\.yaml:\d+/);
  assert.match(explained, /etc\.yaml:\d+/);
});

test("in the end nothing has failed, and the shutdown leaves a clean data filesystem", async () => {
  assert.is((await shell.run("systemctl --failed --plain --no-legend")).output, "");
  assert.is((await shell.run("journalctl -b -2 --no-pager | grep -i 'failed to unmount\\|failed unmounting'")).output, "");
  await powerOff(debian);
  const { text } = debian.machine.console;
  assert.not.match(text.slice(text.lastIndexOf("Restarting system")), /FAILED|Failed/);
  assert.not.ok((await dataFeatures(debian.disk)).includes("needs_recovery"));
  await checkData(debian.disk);
});

test.run();
