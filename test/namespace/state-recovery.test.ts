/** What recoveries make of the state, as PID 1 lays it, on real filesystems: overlay, erofs, and each kind of data filesystem. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { withDescriptor } from "../../init/state/beneath.ts";
import { generationName } from "../../state-ops/layout.ts";
import type { StateWish } from "../../state-ops/recovery.ts";
import { attackedDisk, bootHostile, type Outcome, onDisk } from "./hostile-machine.ts";
import { mountOf } from "./state-boots.ts";
import { cleanUp, filesystems, kernel, look } from "./state-machine.ts";

/** Paths of the sample machine that rolled back, and that do not. */
const PERSISTENT = ["/etc/mine", "/home/mine", "/var/mine"];
const SHARED = ["/srv/mine", "/var/log/mine"];

/** When something was read last says nothing. */
const withoutReads = (key: string, value: unknown): unknown => {
  if (key === "accessed") return undefined;
  return typeof value === "bigint" ? `${value}` : value;
};

/** Everything below these names as it lies on the disk: times, owners and attributes too. */
const lookAtAll = (disk: string, names: readonly string[]): string =>
  onDisk(disk, (data) =>
    withDescriptor(
      kernel,
      () => kernel.open(data, O.RDONLY | O.DIRECTORY),
      (fd) =>
        JSON.stringify(
          names.map((name) => look(fd, name)),
          withoutReads,
        ),
    ),
  );

/** Everything of one generation but the mark that says why it is kept. */
const lookAtStores = (disk: string, number: number): string =>
  lookAtAll(disk, [
    `gens/${generationName(number)}/tree`,
    `gens/${generationName(number)}/ovl`,
    `gens/${generationName(number)}/meta.json`,
  ]);

/** Boots slot a by a wish, which has to succeed. */
function boot(
  disk: string,
  wish: StateWish,
  see: (outcome: Outcome) => void,
  more: Partial<Parameters<typeof bootHostile>[0]> = {},
) {
  return bootHostile({ disk, wish, ...more }, (outcome) => {
    assert.is(outcome.failure, null);
    see(outcome);
  });
}

const write = ({ root }: Outcome, paths: readonly string[], text: string) => {
  for (const path of paths) writeFileSync(`${root}${path}`, text);
};
const each = ({ read }: Outcome, paths: readonly string[]) => paths.map((path) => read(path));
const kept = (paths: readonly string[]) => paths.map((path) => `kept in ${path}`);

/**
 * Slot a's state was cloned of an older generation of its own (as after an update), and was used since: generation 1 says
 * "kept in …", generation 2 "bad".
 */
async function usedDisk(type: (typeof filesystems)[number]): Promise<string> {
  const disk = await attackedDisk(() => {}, type);
  await bootHostile({ type, disk, slot: "b", previousEnd: "none" }, (outcome) => {
    assert.is(outcome.failure, null);
    write(outcome, PERSISTENT, "bad");
    write(outcome, ["/etc/hosts", "/var/lib/app/shipped"], "bad");
  });
  return disk;
}

/** Slot b's boots of {@link usedDisk}: committed there since, so that its own state is the one under suspicion. */
const asB = { slot: "b", committedSlot: "b" } as const;

for (const type of filesystems) {
  test(`${type}: the state before, tried, tried again, committed`, async () => {
    const disk = await usedDisk(type);
    const bad = lookAtStores(disk, 2);
    const shared = lookAtAll(disk, ["shared"]);
    const first = { type, ...asB, previousEnd: "none", attempts: { now: 8, good: 7 } } as const;
    await boot(
      disk,
      "previous",
      (outcome) => {
        assert.is(outcome.laid?.generation, "000003");
        assert.equal(each(outcome, PERSISTENT), kept(PERSISTENT));
        assert.equal(each(outcome, SHARED), kept(SHARED));
        assert.is(outcome.read("/etc/hosts"), "hosts v2", "what nobody changed before follows the image");
        assert.is(outcome.read("/var/lib/app/shipped"), "shipped v2");
        assert.match(
          outcome.warnings.join(),
          /goes back to the state that it had before; slot b goes on with a clone of generation 000001/,
        );
        write(outcome, PERSISTENT, "of the first try");
      },
      first,
    );
    assert.is(lookAtStores(disk, 2), bad, "what is set aside is as it was");
    await boot(disk, "previous", (outcome) => assert.equal(each(outcome, PERSISTENT), kept(PERSISTENT)), {
      ...first,
      previousEnd: "unclean",
      attempts: { now: 9, good: 7 },
    });
    await boot(disk, "previous", (outcome) => write(outcome, PERSISTENT, "committed"), {
      ...first,
      previousEnd: "clean",
      attempts: { now: 10, good: 7 },
    });
    await boot(disk, "ordinary", (outcome) => assert.equal(each(outcome, PERSISTENT), ["committed", "committed", "committed"]), {
      ...first,
      attempts: { now: 11, good: 10 },
    });
    assert.is(lookAtStores(disk, 2), bad);
    assert.is(lookAtAll(disk, ["shared"]), shared, "shared and identity are as they were");
    onDisk(disk, (data) => {
      assert.match(
        readFileSync(`${data}/gens/000002/PINNED`, "utf8"),
        /set aside by recovery: slot b goes on with a clone of generation 000001/,
      );
      const own = readlinkSync(`${data}/slots/b`).slice("../gens/".length);
      assert.not(existsSync(`${data}/gens/${own}/STAND-IN`));
      assert.ok(readdirSync(`${data}/gens`).length <= 4, readdirSync(`${data}/gens`).join());
    });
  });

  test(`${type}: fresh state, tried and not committed, then committed`, async () => {
    const disk = await usedDisk(type);
    const bad = lookAtStores(disk, 2);
    const shared = lookAtAll(disk, ["shared"]);
    const first = { type, ...asB, previousEnd: "none", attempts: { now: 8, good: 7 } } as const;
    const isFresh = (outcome: Outcome) => {
      for (const path of PERSISTENT) assert.not(existsSync(`${outcome.root}${path}`), path);
      assert.equal(each(outcome, SHARED), kept(SHARED));
      assert.is(outcome.read("/etc/hosts"), "hosts v2");
      assert.is(outcome.read("/var/lib/app/shipped"), "shipped v2");
      const { mode, uid, gid } = statSync(`${outcome.root}/var/lib/app`);
      assert.equal([mode & 0o7777, uid, gid], [0o2751, 12, 34]);
      write(outcome, PERSISTENT, "anew");
    };
    await boot(disk, "fresh", isFresh, first);
    await boot(disk, "fresh", isFresh, { ...first, previousEnd: "unclean", attempts: { now: 9, good: 7 } });
    await boot(disk, "ordinary", (outcome) => assert.equal(each(outcome, PERSISTENT), ["bad", "bad", "bad"]), {
      ...first,
      attempts: { now: 10, good: 7 },
    });
    assert.not.match(
      onDisk(disk, (data) => readdirSync(`${data}/gens/000002`).join()),
      /PINNED/,
    );
    await boot(disk, "fresh", isFresh, { ...first, attempts: { now: 11, good: 10 } });
    await boot(disk, "ordinary", (outcome) => assert.equal(each(outcome, PERSISTENT), ["anew", "anew", "anew"]), {
      ...first,
      attempts: { now: 12, good: 11 },
    });
    assert.is(lookAtStores(disk, 2), bad, "what is set aside is as it was");
    assert.is(lookAtAll(disk, ["shared"]), shared);
    // Another image begins with what was committed, not with what was set aside.
    await bootHostile(
      {
        type,
        disk,
        slot: "a",
        committedSlot: "b",
        isTrial: true,
        previousEnd: "none",
        imageId: "sha256:c",
        attempts: { now: 13, good: 11 },
      },
      (outcome) => {
        assert.is(outcome.failure, null);
        assert.equal(each(outcome, PERSISTENT), ["anew", "anew", "anew"]);
      },
    );
  });

  test(`${type}: safe mode touches nothing that is persistent, and leaves the rest the machine's own`, async () => {
    const disk = await usedDisk(type);
    const before = lookAtAll(disk, ["gens", "slots"]);
    await boot(
      disk,
      "memory",
      (outcome) => {
        const { laid } = outcome;
        assert.is(laid?.generation, null);
        assert.is(laid?.safeMode, true);
        assert.equal(
          laid?.degraded.map(({ path }) => path),
          ["/etc", "/home", "/var"],
        );
        for (const path of PERSISTENT) assert.not(existsSync(`${outcome.root}${path}`), path);
        assert.equal(each(outcome, SHARED), kept(SHARED));
        assert.is(outcome.read("/etc/hosts"), "hosts v2");
        write(outcome, [...PERSISTENT, "/etc/hosts", "/var/lib/app/shipped"], "for this boot");
        write(outcome, SHARED, "by safe mode");
        assert.is(outcome.read("/etc/hosts"), "for this boot");
        assert.is(mountOf(`${outcome.root}/var`).filesystem, "overlay");
        assert.is(mountOf(`${outcome.root}/var/log`).filesystem, type);
        assert.is(readFileSync(`${outcome.root}/etc/secret`, "utf8"), "", "what is masked stays so");
      },
      { type, ...asB, attempts: { now: 8, good: 7 } },
    );
    assert.is(lookAtAll(disk, ["gens", "slots"]), before);
    await boot(
      disk,
      "ordinary",
      (outcome) => {
        assert.equal(each(outcome, PERSISTENT), ["bad", "bad", "bad"]);
        assert.equal(each(outcome, SHARED), ["by safe mode", "by safe mode"]);
      },
      { type, ...asB, attempts: { now: 9, good: 7 } },
    );
  });
}

test("safe mode without a data filesystem: everything is in memory, and told", async () => {
  const disk = await usedDisk("ext4");
  await boot(
    disk,
    "memory",
    (outcome) => {
      assert.match(outcome.read("/etc/machine-id"), /^[0-9a-f]{32}\n$/);
      const told = outcome.laid?.degraded.map(({ path, reason }) => `${path}: ${reason}`).join("\n") ?? "";
      assert.match(told, /\/etc\/machine-id: safe mode without its identity state: .*no partition labelled d/);
      assert.match(told, /\/srv: safe mode without its shared state: /);
      write(outcome, [...PERSISTENT, ...SHARED], "for this boot");
    },
    { ...asB, withoutData: true },
  );
});

test("safe mode with a data filesystem whose layout is of another version", async () => {
  const disk = await usedDisk("ext4");
  onDisk(disk, (data) => writeFileSync(`${data}/LAYOUT`, '{"schema":9}'));
  await boot(disk, "memory", ({ laid }) => assert.match(laid?.degraded.at(-1)?.reason ?? "", /has schema 9/), asB);
});

test("no state from before, none at all, or no data filesystem: the slot fails with a sentence", async () => {
  const disk = await attackedDisk(() => {});
  const before = lookAtAll(disk, ["gens", "slots"]);
  const failsWith = (sentence: RegExp, more: Partial<Parameters<typeof bootHostile>[0]> = {}) =>
    bootHostile({ disk, wish: "previous", ...more }, ({ failure }) => assert.match(failure ?? "", sentence));
  await failsWith(/^there is no state from before generation 000001 of slot a: recovery cannot go back to one$/);
  await failsWith(/^recovery cannot go back to the state before: no partition labelled d$/, { withoutData: true });
  await failsWith(/^the image in slot a keeps no persistent state/, { operators: [] });
  assert.is(lookAtAll(disk, ["gens", "slots"]), before);
});

test.after(cleanUp);
test.run();
