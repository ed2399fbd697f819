import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AccountVersions, mergeAccounts } from "../../state-ops/merge/keyed.ts";
import { KEYED_FILES, type KeyedFile, keyedPaths } from "../../state-ops/merge/keyed-files.ts";

type Files = Partial<Record<KeyedFile, [base: string | null, state: string | null, image: string | null]>>;

const nothing = { ownedInImage: { users: new Set<number>(), groups: new Set<number>() } };

function merge(files: Files, options: Parameters<typeof mergeAccounts>[1] = { ownedInImage: null }) {
  const versions = KEYED_FILES.flatMap((file): [KeyedFile, AccountVersions][] => {
    const texts = files[file];
    return texts === undefined ? [] : [[file, { base: texts[0], state: texts[1], image: texts[2] }]];
  });
  const { texts, notes } = mergeAccounts(new Map(versions), options);
  return { texts, notes: notes.map(({ file, name, outcome, why }) => `${file} ${name} ${outcome}: ${why}`) };
}

const lines = (...all: string[]) => all.map((line) => `${line}\n`).join("");
const user = (name: string, uid: number, gid = uid, shell = "/bin/sh") => `${name}:x:${uid}:${gid}::/home/${name}:${shell}`;
const group = (name: string, gid: number, members = "") => `${name}:x:${gid}:${members}`;

const root = user("root", 0);
const daemon = user("daemon", 1);

test("new users of the image appear, the device's own stay, in a stable order", () => {
  const { texts, notes } = merge({
    passwd: [lines(root, daemon), lines(root, daemon, user("alice", 1000)), lines(root, user("sshd", 101), daemon)],
    shadow: [
      lines("root:*:1:0:99999:7:::", "daemon:*:1:0:99999:7:::"),
      lines("root:$y$new:9:0:99999:7:::", "daemon:*:1:0:99999:7:::", "alice:$y$a:9:0:99999:7:::"),
      lines("root:*:1:0:99999:7:::", "sshd:!:2::::::", "daemon:*:1:0:99999:14:::"),
    ],
  });
  assert.is(texts.get("passwd"), lines(root, user("sshd", 101), daemon, user("alice", 1000)));
  const shadow = ["root:$y$new:9:0:99999:7:::", "sshd:!:2::::::", "daemon:*:1:0:99999:14:::", "alice:$y$a:9:0:99999:7:::"];
  assert.is(texts.get("shadow"), lines(...shadow));
  assert.equal(notes, []);
});

test("a password changed on both sides is the device's, and is quoted nowhere", () => {
  const { texts, notes } = merge({ shadow: ["root:*:1:0:::::\n", "root:$y$secret:5:0:::::\n", "root:$y$vendor:4:0:::::\n"] });
  assert.is(texts.get("shadow"), "root:$y$secret:5:0:::::\n");
  assert.equal(notes, ["shadow root kept: password changed here and in the image: the device's is kept"]);
});

test("fields of one user changed on either side are both there", () => {
  const { texts } = merge({
    passwd: [lines(daemon), "daemon:x:1:1::/home/daemon:/bin/bash\n", "daemon:x:1:1:The daemon:/home/daemon:/bin/sh\n"],
  });
  assert.is(texts.get("passwd"), "daemon:x:1:1:The daemon:/home/daemon:/bin/bash\n");
});

test("members are sets: what either side added is there, what either side removed is not", () => {
  const { texts, notes } = merge({
    group: [lines(group("video", 44, "a,b,c")), lines(group("video", 44, "a,c,alice")), lines(group("video", 44, "d,a,b"))],
  });
  assert.is(texts.get("group"), lines(group("video", 44, "d,a,alice")));
  assert.equal(notes, []);
});

test("a taken number: the device's user keeps it, the image's is refused everywhere, with a word on both", () => {
  const { texts, notes } = merge({
    passwd: [lines(root), lines(root, user("app", 998)), lines(root, user("ntp", 998))],
    group: [
      lines(group("video", 44)),
      lines(group("video", 44), group("app", 998)),
      lines(group("video", 44, "ntp"), group("ntp", 998)),
    ],
    shadow: [lines("root:*:1::::::"), lines("root:*:1::::::", "app:!:1::::::"), lines("root:*:1::::::", "ntp:!:1::::::")],
    subuid: ["", "", "ntp:100000:65536\n"],
  });
  assert.is(texts.get("passwd"), lines(root, user("app", 998)));
  assert.is(texts.get("group"), lines(group("video", 44), group("app", 998)));
  assert.is(texts.get("shadow"), lines("root:*:1::::::", "app:!:1::::::"));
  assert.is(texts.get("subuid"), "");
  assert.equal(
    notes.map((note) => note.split(",")[0]),
    [
      "group ntp refused: its number 998 belongs to app on this device",
      "passwd ntp refused: its number 998 belongs to app on this device",
    ],
  );
});

test("a taken number that owns nothing in the image: another number, the same in passwd and group's terms", () => {
  const files: Files = {
    passwd: [lines(root), lines(root, user("app", 998), user("b", 999)), lines(root, user("ntp", 998))],
    group: ["", lines(group("app", 998)), lines(group("ntp", 998))],
  };
  const { texts, notes } = merge(files, nothing);
  assert.is(texts.get("passwd"), lines(root, user("ntp", 997, 999), user("app", 998), user("b", 999)));
  assert.is(texts.get("group"), lines(group("ntp", 999), group("app", 998)));
  assert.equal(
    notes.map((note) => note.split(":")[0]),
    ["group ntp renumbered", "passwd ntp renumbered"],
  );
  const owned = merge(files, { ownedInImage: { users: new Set([998]), groups: new Set([998]) } });
  assert.is(owned.texts.get("passwd"), files.passwd?.[1]);
});

test("a new user whose group is refused is refused too, rather than put into another's", () => {
  const { texts, notes } = merge({
    passwd: [lines(root), lines(root), lines(root, user("ntp", 101, 998))],
    group: ["", lines(group("app", 998)), lines(group("ntp", 998))],
  });
  assert.is(texts.get("passwd"), lines(root));
  assert.match(notes.join("\n"), "passwd ntp refused: its primary group 998 is app on this device");
});

test("a new user's group is meant by name: it follows the number that the name has here", () => {
  const { texts } = merge({
    passwd: [lines(root), lines(root), lines(root, user("ntp", 101, 101))],
    group: ["", lines(group("ntp", 555)), lines(group("ntp", 101))],
  });
  assert.is(texts.get("passwd"), lines(root, user("ntp", 101, 555)));
  assert.is(texts.get("group"), lines(group("ntp", 555)));
});

test("a name that the image renumbered keeps its number here", () => {
  const { texts, notes } = merge({
    passwd: [lines(user("ntp", 101)), lines(user("ntp", 101), user("alice", 1000)), lines(user("ntp", 102, 101))],
  });
  assert.is(texts.get("passwd"), lines(user("ntp", 101), user("alice", 1000)));
  assert.equal(notes, ["passwd ntp kept: number differs from the image's: the device's is kept"]);
});

test("a number that a dropped name leaves to another one stays with it", () => {
  const { texts, notes } = merge({
    passwd: [lines(root, user("old", 101)), lines(root, user("old", 101), user("a", 1000)), lines(root, user("new", 101))],
  });
  assert.is(texts.get("passwd"), lines(root, user("old", 101), user("a", 1000)));
  assert.is(notes.length, 2);
});

test("removed from the image: gone where unmodified, kept where changed here or needed here", () => {
  const { texts, notes } = merge({
    passwd: [
      lines(root, user("x", 101), user("y", 102)),
      lines(root, user("x", 101), user("y", 102, 102, "/bin/bash"), user("alice", 1000, 100)),
      lines(root),
    ],
    group: [lines(group("users", 100), group("x", 101)), lines(group("users", 100), group("x", 101)), ""],
    shadow: [lines("x:!:1::::::", "y:!:1::::::"), lines("x:!:1::::::", "y:!:1::::::"), ""],
  });
  assert.is(texts.get("passwd"), lines(root, user("y", 102, 102, "/bin/bash"), user("alice", 1000, 100)));
  assert.is(texts.get("group"), lines(group("users", 100)));
  assert.is(texts.get("shadow"), lines("y:!:1::::::"));
  assert.equal(notes, [
    "group users kept: removed from the image: it is the primary group of alice",
    "passwd y kept: removed from the image: changed here",
  ]);
});

test("deleted here: stays so, with a word where the image changed it", () => {
  const base = lines(root, user("x", 101), user("y", 102));
  const { texts, notes } = merge({
    passwd: [base, lines(root), lines(root, user("x", 101), user("y", 102, 102, "/bin/false"))],
    shadow: [lines("y:!:1::::::"), "", lines("y:!:2::::::")],
  });
  assert.is(texts.get("passwd"), lines(root));
  assert.is(texts.get("shadow"), "");
  assert.equal(notes, ["passwd y left-out: deleted here, changed in the image: stays deleted"]);
});

test("a name that is kept for its number is kept when the same is merged again", () => {
  const base = lines(root);
  const image = lines(user("c", 0), user("a", 0));
  const once = merge({ passwd: [base, lines(root, user("c", 0)), image] }, nothing).texts.get("passwd") ?? "";
  assert.is(once, lines(user("c", 0), user("a", 999, 0), root));
  assert.is(merge({ passwd: [base, once, image] }, nothing).texts.get("passwd"), once);
});

test("two names for one number where the image itself has them", () => {
  const { texts } = merge({ passwd: [lines(root), lines(root, user("a", 1000)), lines(root, user("toor", 0))] });
  assert.is(texts.get("passwd"), lines(root, user("toor", 0), user("a", 1000)));
});

test("comments, NIS lines, unknown shapes and second lines of a name are kept where they belong", () => {
  const { texts } = merge({
    passwd: [
      lines("# image", root, "+::::::"),
      lines(
        "# image",
        root,
        "+@admins::::::",
        "# mine",
        user("a", 1000),
        "broken:line",
        user("root", 0, 0, "/bin/zsh"),
        "+::::::",
      ),
      lines("# image, revised", root, daemon, "+::::::"),
    ],
  });
  const wanted = [
    "# image, revised",
    root,
    daemon,
    "# mine",
    user("a", 1000),
    "broken:line",
    user("root", 0, 0, "/bin/zsh"),
    "+::::::",
    "+@admins::::::",
  ];
  assert.is(texts.get("passwd"), lines(...wanted));
});

test("bytes that are no UTF-8 survive", () => {
  const odd = Buffer.from([0x61, 0xff, 0xc3]).toString("latin1");
  const { texts } = merge({ passwd: [lines(root), lines(root, user(odd, 1000)), lines(root, daemon)] });
  assert.equal(Buffer.from(texts.get("passwd") ?? "", "latin1"), Buffer.from(lines(root, daemon, user(odd, 1000)), "latin1"));
});

test("ranges of subordinate ids: the device's stay, new ones come unless they overlap", () => {
  const { texts, notes } = merge({
    subuid: [
      lines("img:100000:65536"),
      lines("img:100000:65536", "alice:165536:65536", "alice:900000:10"),
      lines("img:500000:65536", "svc:200000:65536", "free:300000:65536"),
    ],
  });
  assert.is(texts.get("subuid"), lines("img:100000:65536", "free:300000:65536", "alice:165536:65536", "alice:900000:10"));
  assert.equal(notes, [
    "subuid img kept: ranges changed in the image: the device's are kept",
    "subuid svc refused: its range overlaps one of alice on this device",
  ]);
});

test("without a baseline everything of both sides is there", () => {
  const { texts } = merge({ group: [null, lines(group("a", 1, "x"), group("b", 2)), lines(group("a", 1, "y"), group("c", 3))] });
  assert.is(texts.get("group"), lines(group("a", 1, "y,x"), group("c", 3), group("b", 2)));
});

test("a file that only the image has, one that was deleted here, one that the image dropped", () => {
  const { texts } = merge({
    passwd: [lines(root), lines(root, daemon), lines(root)],
    subuid: [null, null, "root:1:1\n"],
    subgid: ["a:1:1\n", null, "a:1:1\nb:2:1\n"],
    gshadow: ["", "x:!::\n", null],
  });
  assert.equal([texts.get("subuid"), texts.get("subgid"), texts.get("gshadow")], ["root:1:1\n", null, "x:!::\n"]);
});

test("where the files lie in a store", () => {
  assert.equal([...keyedPaths("/etc").keys()], [...KEYED_FILES]);
  assert.equal([...keyedPaths("/var")], []);
  assert.equal([...keyedPaths("/etc/ssh")], []);
});

// Random devices: few names and few numbers, so that they collide.
const names = ["root", "a", "b", "c", "d", "e"];
const numbers = [0, 100, 101, 999, 1000];

interface Account {
  name: string;
  uid: number;
  gid: number;
  members: string[];
  password: string;
}

const anyAccounts = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(...names),
    uid: fc.constantFrom(...numbers),
    gid: fc.constantFrom(...numbers),
    members: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 3 }),
    password: fc.constantFrom("*", "!", "$y$1"),
  }),
  { selector: (account) => account.name, maxLength: 5 },
);

/** Numbers by name, of the first line of each name. */
function numbersOf(text: string | null | undefined): Map<string, number> {
  const fields = (text ?? "").split("\n").flatMap((line) => (line === "" ? [] : [line.split(":")]));
  return new Map(fields.reverse().map((line) => [line[0] ?? "", Number(line[2])]));
}

function filesOf(accounts: readonly Account[]): Record<KeyedFile, string> {
  const text = (line: (account: Account, index: number) => string) =>
    accounts.map((account, index) => `${line(account, index)}\n`).join("");
  return {
    passwd: text(({ name, uid, gid }) => user(name, uid, gid)),
    group: text(({ name, gid, members }) => group(name, gid, members.join(","))),
    shadow: text(({ name, password }) => `${name}:${password}:1::::::`),
    gshadow: text(({ name, members }) => `${name}:!::${members.join(",")}`),
    subuid: text(({ name, uid }) => `${name}:${100_000 + uid * 100}:65536`),
    subgid: text(({ name, gid }) => `${name}:${100_000 + gid * 100}:65536`),
  };
}

const anyMachine = fc.tuple(anyAccounts, anyAccounts, anyAccounts, fc.boolean()).map(([base, here, there, related]) => {
  const mixed = (other: readonly Account[]) =>
    related ? [...base.filter(({ name }) => other.every((account) => account.name !== name)), ...other] : other;
  return { base: filesOf(base), state: filesOf(mixed(here)), image: filesOf(mixed(there)) };
});

type Machine = Record<"base" | "state" | "image", Record<KeyedFile, string>>;

function versionsOf({ base, state, image }: Machine): Map<KeyedFile, AccountVersions> {
  return new Map(KEYED_FILES.map((file) => [file, { base: base[file], state: state[file], image: image[file] }]));
}

const options = fc.constantFrom({ ownedInImage: null }, nothing, {
  ownedInImage: { users: new Set([100, 1000]), groups: new Set([0, 101]) },
});

test("every user of the device and of the image is there unless it is told why; numbers keep their owner", () => {
  fc.assert(
    fc.property(anyMachine, options, (machine, known) => {
      const { texts, notes } = mergeAccounts(versionsOf(machine), known);
      for (const file of ["passwd", "group"] as const) {
        const [base, state, image] = [machine.base, machine.state, machine.image].map((side) => numbersOf(side[file]));
        const after = numbersOf(texts.get(file));
        const told = (name: string) => notes.some((note) => note.file === file && note.name === name);
        if (base === undefined || state === undefined || image === undefined) return;
        const whole = texts.get(file) === machine.image[file] && notes.length === 0;
        for (const [name, number] of state) {
          if (!base.has(name)) assert.is(after.get(name), number, `${name} was made here`);
          if (whole) continue;
          if (after.has(name)) assert.is(after.get(name), number, `${name} has another number`);
          if (image.has(name)) assert.ok(after.has(name), `${name} is lost`);
        }
        for (const name of image.keys()) {
          const deletedHere = base.has(name) && !state.has(name);
          if (!deletedHere && !after.has(name)) assert.ok(told(name), `${name} of the image is lost`);
        }
        for (const [name, number] of after) {
          if (whole) break;
          const owners = [...state].filter(([other, its]) => its === number && other !== name).map(([other]) => other);
          for (const other of owners) {
            const together = (side: Map<string, number>) => side.get(name) === number && side.get(other) === number;
            assert.ok(together(state) || together(image), `${number} of ${other} went to ${name}`);
          }
        }
      }
    }),
    { numRuns: 3000 },
  );
});

test("an unchanged side, and merging again", () => {
  fc.assert(
    fc.property(anyMachine, options, (machine, known) => {
      const { base, state, image } = machine;
      const same = (left: ReadonlyMap<KeyedFile, string | null>, right: Record<KeyedFile, string>) =>
        assert.equal(Object.fromEntries(left), right);
      same(mergeAccounts(versionsOf({ base, state, image: base }), known).texts, state);
      same(mergeAccounts(versionsOf({ base, state: base, image }), known).texts, image);
      const { texts } = mergeAccounts(versionsOf(machine), known);
      const merged = filesOf([]);
      for (const [file, text] of texts) merged[file] = text ?? "";
      same(mergeAccounts(versionsOf({ base: image, state: merged, image }), known).texts, merged);
      same(mergeAccounts(versionsOf({ base, state: merged, image }), known).texts, merged);
    }),
    { numRuns: 2000 },
  );
});

test("a shadow line for every user that had one, and any text is read", () => {
  fc.assert(
    fc.property(anyMachine, options, (machine, known) => {
      const { texts } = mergeAccounts(versionsOf(machine), known);
      const after = numbersOf(texts.get("passwd"));
      const shadow = numbersOf(texts.get("shadow"));
      for (const name of after.keys()) assert.ok(shadow.has(name), name);
      for (const name of shadow.keys()) assert.ok(after.has(name), name);
    }),
    { numRuns: 1000 },
  );
  const text = fc.string({ unit: fc.constantFrom("a", "b", ":", "x", "1", ",", "#", "+", "\n", "\u00ff") });
  fc.assert(
    fc.property(fc.tuple(text, text, text), fc.tuple(text, text, text), ([b1, s1, i1], [b2, s2, i2]) => {
      const { texts } = merge({ passwd: [b1, s1, i1], group: [b2, s2, i2], subuid: [b1, s2, i1], gshadow: [b2, s1, i2] });
      assert.is(texts.size, 4);
    }),
  );
});

test.run();
