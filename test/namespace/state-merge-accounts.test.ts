/** The account files of a device and of its next image, through a real overlay. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { sampleOperator } from "../samples/operator.ts";
import { MergeWorld, makeImage, prepareRun, readReport } from "./merge-world.ts";
import { cleanUp } from "./state-machine.ts";

test.before(prepareRun);
test.after(cleanUp);

const etc = sampleOperator("/etc", { via: "overlay", merge: "keyed" });

type Files = Record<string, string[]>;

function write(root: string, files: Files): void {
  for (const [name, lines] of Object.entries(files)) {
    writeFileSync(`${root}/${name}`, lines.map((line) => `${line}\n`).join(""), "latin1");
    chmodSync(`${root}/${name}`, name.endsWith("shadow") ? 0o640 : 0o644);
  }
}

const lines = (path: string) => readFileSync(path, "latin1").trimEnd().split("\n");

const v1: Files = {
  passwd: ["root:x:0:0:root:/root:/bin/sh", "_old:x:100:100::/nonexistent:/usr/sbin/nologin"],
  group: ["root:x:0:", "video:x:44:", "_old:x:100:"],
  shadow: ["root:*:19000:0:99999:7:::", "_old:!:19000::::::"],
  gshadow: ["root:*::", "video:!::", "_old:!::"],
  subuid: [],
  subgid: [],
};

/** What useradd, usermod and passwd do. */
const device: Files = {
  passwd: [...(v1.passwd ?? []), "ada:x:1000:1000:Ada \xe9:/home/ada:/bin/sh", "local:x:998:998::/:/bin/false"],
  group: ["root:x:0:", "video:x:44:ada", "_old:x:100:", "ada:x:1000:", "local:x:998:"],
  shadow: ["root:$6$secret:19500:0:99999:7:::", "_old:!:19000::::::", "ada:$6$hers:19500:0:99999:7:::", "local:!:19500::::::"],
  gshadow: ["root:*::", "video:!::ada", "_old:!::", "ada:!::", "local:!::"],
  subuid: ["ada:100000:65536"],
  subgid: ["ada:100000:65536"],
};

const v2: Files = {
  passwd: ["root:x:0:0:root:/root:/bin/bash", "_new:x:101:101::/nonexistent:/usr/sbin/nologin", "_taken:x:998:998::/:/bin/false"],
  group: ["root:x:0:", "video:x:44:", "_new:x:101:", "_taken:x:998:"],
  shadow: ["root:*:20000:0:99999:7:::", "_new:!:20000::::::", "_taken:!:20000::::::"],
  gshadow: ["root:*::", "video:!::", "_new:!::", "_taken:!::"],
  subuid: [],
  subgid: [],
};

/** `owner` owns a file of the second image. */
function updated(owner: number, edits: Files, use: (place: string, notes: string[]) => void): void {
  const world = new MergeWorld("ext4");
  try {
    const first = makeImage([etc], (root) => write(`${root}/etc`, v1));
    const second = makeImage([etc], (root) => {
      write(`${root}/etc`, v2);
      mkdirSync(`${root}/var`);
      writeFileSync(`${root}/var/owned`, "");
      chownSync(`${root}/var/owned`, owner, owner);
    });
    world.create(first);
    world.withOverlay(1, first, etc, (place) => write(place, edits));
    const { notes } = world.clone(1, second);
    world.withOverlay(2, second, etc, (place) => use(place, notes));
  } finally {
    world.close();
  }
}

test("the image's new users appear, the device's own stay, passwords are the device's, no number changes its owner", () => {
  updated(0, device, (place, notes) => {
    assert.equal(lines(`${place}/passwd`), [
      "root:x:0:0:root:/root:/bin/bash",
      "_new:x:101:101::/nonexistent:/usr/sbin/nologin",
      "_taken:x:999:999::/:/bin/false",
      "ada:x:1000:1000:Ada \xe9:/home/ada:/bin/sh",
      "local:x:998:998::/:/bin/false",
    ]);
    assert.equal(lines(`${place}/group`), [
      "root:x:0:",
      "video:x:44:ada",
      "_new:x:101:",
      "_taken:x:999:",
      "ada:x:1000:",
      "local:x:998:",
    ]);
    assert.equal(lines(`${place}/shadow`), [
      "root:$6$secret:19500:0:99999:7:::",
      "_new:!:20000::::::",
      "_taken:!:20000::::::",
      "ada:$6$hers:19500:0:99999:7:::",
      "local:!:19500::::::",
    ]);
    assert.is((lstatSync(`${place}/shadow`).mode & 0o777).toString(8), "640");
    assert.equal(lines(`${place}/gshadow`), ["root:*::", "video:!::ada", "_new:!::", "_taken:!::", "ada:!::", "local:!::"]);
    assert.equal(lines(`${place}/subuid`), ["ada:100000:65536"]);
    const told = readReport().stores[0]?.accounts.map(({ file, name, outcome, why }) => [file, name, outcome, why]);
    assert.equal(
      told?.filter(([, name]) => name === "_taken"),
      [
        ["group", "_taken", "renumbered", "its number 998 belongs to local on this device: _taken is 999 here"],
        ["passwd", "_taken", "renumbered", "its number 998 belongs to local on this device: _taken is 999 here"],
      ],
    );
    assert.match(notes.join(), /^state was merged: /);
    assert.not.match(JSON.stringify(readReport()), /\$6\$/, "no password is quoted");
  });
});

test("a new user whose number is taken here and owns files in the image is refused, by name", () => {
  updated(998, device, (place) => {
    assert.not(lines(`${place}/passwd`).some((line) => line.startsWith("_taken:")));
    assert.not(lines(`${place}/shadow`).some((line) => line.startsWith("_taken:")));
    assert.ok(lines(`${place}/passwd`).some((line) => line.startsWith("_new:")));
    const told = readReport().stores[0]?.accounts.filter(({ file, name }) => file === "passwd" && name === "_taken");
    assert.equal(
      told?.map(({ outcome }) => outcome),
      ["refused"],
    );
    assert.match(told?.[0]?.why ?? "", /its number 998 belongs to local on this device, and it owns files in the image/);
  });
});

test("nobody changed an account here: the image's files are seen as they are", () => {
  updated(0, {}, (place, notes) => {
    for (const [name, wanted] of Object.entries(v2)) {
      assert.equal(lines(`${place}/${name}`), wanted.length === 0 ? [""] : wanted, name);
    }
    assert.equal(notes, []);
  });
});

test("account files too long to be merged by line stay the device's, and that is said", () => {
  const many = Array.from({ length: 40_000 }, (_, index) => `user${index}:x:${index + 1000}:1000::/home/user${index}:/bin/sh`);
  updated(0, { ...device, passwd: [...(device.passwd ?? []), ...many] }, (place, notes) => {
    assert.is(lines(`${place}/passwd`).length, 40_004);
    assert.match(notes[0] ?? "", /^\/etc: its accounts are too many to be merged by line; the device's are kept$/);
    assert.equal(lines(`${place}/shadow`), device.shadow);
  });
});

test.run();
