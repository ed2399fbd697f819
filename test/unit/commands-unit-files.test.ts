import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RUN } from "../../boot/report.ts";
import { table } from "../../init/commands/table.ts";

const units = join(import.meta.dirname, "../../init/units");
const all = readdirSync(units).filter((name) => /\.(service|timer|path)$/.test(name));
/** Those that a fragment of the library brings along have commands and conditions of their own. */
const names = all.filter((name) => name !== "slipway-ssh-keys.service");
const system = "/usr/lib/systemd/system";
const text = (name: string) => readFileSync(join(units, name), "utf8");

test("units call verbs that exist, with options that they have", async () => {
  const commands = names.flatMap((name) => [...text(name).matchAll(/^Exec\w+=(.*)$/gm)].map((match) => match[1] ?? ""));
  assert.ok(commands.length >= 4);
  for (const command of commands) {
    const [program, ...words] = command.split(" ");
    assert.is(program, "/usr/bin/slipway");
    const [options, name] = [words.filter((word) => word.startsWith("--")), words.filter((word) => !word.startsWith("--"))];
    const entry = table.find((one) => one.name === name.join(" "));
    assert.ok(entry, command);
    const known = Object.keys((await entry.load()).verb.options);
    assert.ok(
      options.every((option) => known.includes(option.slice(2))),
      command,
    );
  }
});

test("every unit does nothing on a machine that slipway did not boot", () => {
  for (const name of names) {
    const condition = /^ConditionPathExists=(.*)$/m.exec(text(name))?.[1] ?? "";
    assert.ok(
      [RUN.report, RUN.uncommitted].some((path) => path === condition),
      `${name}: ${condition}`,
    );
  }
});

test("what RAUC calls is there, and calls a verb that exists", () => {
  const scripts = join(units, "../rauc");
  assert.equal(readdirSync(scripts).sort(), ["rauc-backend", "rauc-pre-install", "rauc-service"]);
  for (const name of readdirSync(scripts)) {
    const script = readFileSync(join(scripts, name), "utf8");
    assert.is(spawnSync("sh", ["-n", join(scripts, name)]).status, 0, name);
    const [, verb] = /\/usr\/bin\/slipway (\S+)/.exec(script) ?? [];
    assert.ok(
      table.some((entry) => entry.name === verb),
      name,
    );
  }
  const conf = text("rauc.service.d/50-slipway.conf");
  // Debian's line, whose words the script passes on
  assert.match(conf, /^ExecStart=\nExecStart=\/usr\/lib\/slipway\/rauc-service \/usr\/bin\/rauc --mount=\/run\/rauc service$/m);
});

test("the runtime stays mounted for the last command of a shutdown", () => {
  const conf = text("run-slipway-runtime.mount.d/50-slipway.conf");
  assert.match(conf, /^\[Unit\]\nDefaultDependencies=no$/m);
  // systemd's name for the place where the launcher mounts it
  const place = /^#define PLACE "(.*)"$/m.exec(readFileSync(join(units, "../launcher/launcher.c"), "utf8"))?.[1];
  assert.is(place, "/run/slipway/runtime");
});

test("what is wanted is there", () => {
  const wanted = readdirSync(units).filter((name) => name.endsWith(".wants"));
  assert.equal(wanted.sort(), ["multi-user.target.wants", "ssh.service.wants", "ssh.socket.wants", "sysinit.target.wants"]);
  for (const directory of wanted) {
    for (const name of readdirSync(join(units, directory))) {
      assert.is(readlinkSync(join(units, directory, name)), `../${name}`);
      assert.ok(all.includes(name), name);
    }
  }
});

test("a unit of every boot that needs the network is started by what it is for, and nothing else waits for the network", () => {
  for (const name of readdirSync(join(units, "multi-user.target.wants"))) assert.not.match(text(name), /network-online/, name);
  const path = /^PathExists=(.*)$/m.exec(text("slipway-recovery-report.path"))?.[1];
  assert.is(path, RUN.recoveryReport);
  assert.match(text("slipway-recovery-report.service"), new RegExp(`^ConditionPathExists=${path}$`, "m"));
  // it triggers the service of its own name
  assert.not.match(text("slipway-recovery-report.path"), /^Unit=/m);
});

test("timers that ask a server or install are not enabled, also not by a first boot's presets", () => {
  const preset = readFileSync(join(units, "../presets/80-slipway.preset"), "utf8");
  for (const name of all.filter((unit) => /^\[Install\]$/m.test(text(unit)))) {
    assert.match(name, /^slipway-(check|install)\.timer$/);
    assert.match(text(name), /^WantedBy=timers\.target$/m);
    assert.match(preset, new RegExp(`^disable ${name.replaceAll(".", "\\.")}$`, "m"));
    assert.ok(all.includes(name.replace(/timer$/, "service")), name);
  }
  assert.match(preset, /^disable slipway-install\.timer$/m);
});

if (existsSync(`${system}/multi-user.target`) && spawnSync("systemd-analyze", ["--version"]).status === 0) {
  test("systemd finds nothing wrong with them, and no cycle in a whole boot", () => {
    const root = mkdtempSync(join(tmpdir(), "slipway-units-"));
    try {
      mkdirSync(join(root, "usr/bin"), { recursive: true });
      mkdirSync(join(root, "etc"));
      symlinkSync("usr/lib", join(root, "lib"));
      cpSync(system, join(root, system), { recursive: true, verbatimSymlinks: true });
      cpSync(units, join(root, system), { recursive: true, verbatimSymlinks: true });
      writeFileSync(join(root, "usr/bin/slipway"), "#!/bin/sh\n");
      chmodSync(join(root, "usr/bin/slipway"), 0o755);
      const verify = (...args: string[]) =>
        spawnSync("systemd-analyze", ["verify", "--man=no", `--root=${root}`, ...args], { encoding: "utf8" });
      const found = verify("multi-user.target", ...names);
      const said = found.stderr.split("\n").filter((line) => /slipway|cycle/.test(line));
      assert.equal(said, []);
      // What it would say of a mistake.
      writeFileSync(join(root, system, "slipway-wrong.service"), "[Service]\nExecStart=/usr/bin/nothing\n");
      assert.match(verify("slipway-wrong.service").stderr, /slipway-wrong/);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
}

test.run();
