/** A directory of one test, in which verbs of the command line and programs of the host are run as a builder does. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { project } from "../../qemu/places.ts";

export interface Ended {
  code: number | null;
  out: string;
  error: string;
}

export class Desk {
  readonly place = mkdtempSync(join(tmpdir(), "slipway-desk-"));

  /** Runs `slipway WORDS…`. */
  slipway(...words: string[]): Ended {
    return this.#run(process.execPath, [join(project, "init/main.ts"), ...words], {});
  }

  /** The same with more in its environment. */
  slipwayWith(environment: Record<string, string>, ...words: string[]): Ended {
    return this.#run(process.execPath, [join(project, "init/main.ts"), ...words], environment);
  }

  /** Runs `slipway WORDS…`, which must end with 0, and returns what it printed. */
  done(...words: string[]): string {
    const { code, out, error } = this.slipway(...words);
    assert.is(code, 0, `${words.join(" ")}: ${error}`);
    return out;
  }

  /** Runs `slipway WORDS…`, which must end with `code` and say `message`. */
  refused(code: number, message: RegExp, ...words: string[]): void {
    const ended = this.slipway(...words);
    assert.is(ended.code, code, `${words.join(" ")}: ${ended.error}${ended.out}`);
    assert.match(ended.error, message);
  }

  /** Runs a program of the host, which must end with 0, and returns what it printed. */
  host(program: string, ...words: string[]): string {
    const { code, out, error } = this.#run(program, words, {});
    assert.is(code, 0, `${program} ${words.join(" ")}: ${error}`);
    return out;
  }

  path(name: string): string {
    return join(this.place, name);
  }

  bytes(name: string): Buffer {
    return readFileSync(this.path(name));
  }

  text(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  write(name: string, content: string | Uint8Array): void {
    writeFileSync(this.path(name), content);
  }

  /** Copies `from` to `to` with what `change` makes of its bytes. */
  changed(from: string, to: string, change: (bytes: Buffer) => Buffer): void {
    this.write(to, change(this.bytes(from)));
  }

  clear(): void {
    rmSync(this.place, { recursive: true, force: true });
  }

  #run(program: string, words: string[], environment: Record<string, string>): Ended {
    const { SOURCE_DATE_EPOCH: _, ...own } = process.env;
    const env = { ...own, LC_ALL: "C", PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`, ...environment };
    const { status, stdout, stderr, error } = spawnSync(program, words, { cwd: this.place, env, maxBuffer: 1 << 26 });
    if (error) throw error;
    return { code: status, out: stdout.toString(), error: stderr.toString() };
  }
}
