/** The next image's first boot merges what it changed with what the device changed, and the first image's state stays. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { MergeReport } from "../../state-ops/merge/report.ts";
import { inspectData, recordOn } from "./support/disk-file.ts";
import { activateOn, commitOn } from "./support/record-on-disk.ts";
import { boot, part, smallMachine, type Told } from "./support/small-machine.ts";

const edit = `
echo 'ada:x:1000:1000:Ada:/home/ada:/bin/sh' >>/etc/passwd
echo 'ada:x:1000:' >>/etc/group
echo here >/etc/contested
chmod 600 /etc/chmodded
rm /etc/deleted
mkdir /etc/made && echo here >/etc/made/here
echo here >/var/own
sync`;
const look = `
report passwd cat /etc/passwd
report group cat /etc/group
report files sh -c 'cd /etc; for f in contested chmodded follows made/here made/image; do echo "$f $(stat -c %a $f) $(cat $f)"; done'
report deleted ls /etc/deleted
report merge cat /run/slipway/merge.json
report mode stat -c %a /run/slipway/merge.json
report own cat /var/own`;

const files = (version: string, more: Record<string, string>) => ({
  "/etc/follows": version,
  "/etc/contested": version,
  "/etc/chmodded": `${version}, of its own length ${"x".repeat(version === "v1" ? 1 : 2)}`,
  ...more,
});
const machine = await smallMachine({
  slots: {
    a: {
      facts: "v1",
      script: edit,
      files: files("v1", { "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n", "/etc/deleted": "v1" }),
    },
    b: {
      facts: "v2",
      script: look,
      files: files("v2", {
        "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n_new:x:990:990::/nonexistent:/bin/false\n",
        "/etc/group": "root:x:0:\n_new:x:990:\n",
        "/etc/deleted": "v1",
        "/etc/made/image": "v2",
      }),
    },
  },
});

const firstUpper = (path: string) => inspectData(machine.disk, `cat /gens/000001/ovl/etc/upper/${path}`);
let passwdBefore = "";
let second: Told;

test("the device changes its /etc under the first image, which is committed", async () => {
  const first = await boot(machine);
  assert.is(first.root, "v1");
  assert.equal(first.report.stateNotes, []);
  passwdBefore = await firstUpper("passwd");
  assert.match(passwdBefore, /^root:.*\nada:.*\n$/);
  assert.match(await inspectData(machine.disk, "cat /gens/000001/baseline.json"), /"over":"[0-9a-f]{64}"/);
});

test("the second image shows its own changes and the device's: accounts by line, files whole", async () => {
  commitOn(machine.disk, "a");
  activateOn(machine.disk, "b", "a");
  second = await boot(machine);
  assert.is(second.root, "v2");
  assert.is(second.report.generation, "000002");
  assert.equal(part(second, "passwd").split("\n"), [
    "root:x:0:0:root:/root:/bin/sh",
    "_new:x:990:990::/nonexistent:/bin/false",
    "ada:x:1000:1000:Ada:/home/ada:/bin/sh",
  ]);
  assert.equal(part(second, "group").split("\n"), ["root:x:0:", "_new:x:990:", "ada:x:1000:"]);
  assert.equal(part(second, "files").split("\n"), [
    "contested 644 here",
    "chmodded 600 v2, of its own length xx",
    "follows 644 v2",
    "made/here 644 here",
    "made/image 644 v2",
  ]);
  assert.match(part(second, "deleted"), /No such file/);
  assert.is(part(second, "own"), "here");
});

test("merge.json, the boot report and the boot journal say what was merged", () => {
  const report: MergeReport = JSON.parse(part(second, "merge"));
  assert.equal([report.from, report.to, report.imageId, report.refused], ["000001", "000002", second.report.imageId, false]);
  const etc = report.stores.find(({ path }) => path === "/etc");
  assert.equal(
    etc?.contested.map(({ path, kept }) => [path, kept]),
    [
      ["/etc/contested", "state"],
      ["/etc/group", "both"],
      ["/etc/passwd", "both"],
    ],
  );
  assert.is(part(second, "mode"), "600");
  const note = "state was merged: 3 paths differ on both sides, first /etc/contested; see /run/slipway/merge.json";
  assert.ok(second.report.stateNotes.includes(note), JSON.stringify(second.report.stateNotes));
  assert.ok(JSON.stringify(recordOn(machine.disk).journal[0]).includes(note));
});

test("the first image's state is as it was, for a rollback; what lost is kept aside", async () => {
  assert.is(await firstUpper("passwd"), passwdBefore);
  assert.is(await firstUpper("contested"), "here\n");
  assert.is(await inspectData(machine.disk, "cat /gens/000002/aside/etc/image/contested"), "v2");
});

test.run();
