/** apt for the guests' architecture. For another one than the host's it has a directory of its own: the host's stays as it is. */
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { ARCHITECTURE, type Architecture } from "../boot/architecture.ts";
import { type AptFile, forEveryArchitecture, hostAptFiles } from "./apt-sources.ts";
import { hostArchitecture } from "./architecture.ts";
import { withLock } from "./lock.ts";
import { cache } from "./places.ts";
import { runProgram } from "./program.ts";

/** The host's own directories, or those of {@link privateApt}. */
export class Apt {
  readonly #words: readonly string[];
  readonly #paths: readonly string[];

  /**
   * @param words that every one of apt's programs is given
   * @param paths what changes when apt may answer differently
   */
  constructor(words: readonly string[], paths: readonly string[]) {
    this.#words = words;
    this.#paths = paths;
  }

  /** Changes whenever apt may answer differently. */
  get state(): string {
    return this.#paths.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0).join(" ");
  }

  cache(words: readonly string[]): Promise<string> {
    return runProgram("apt-cache", [...this.#words, ...words]);
  }

  async get(words: readonly string[], directory?: string): Promise<void> {
    const place = directory === undefined ? {} : { directory };
    await runProgram("apt-get", [...this.#words, "-q", ...words], { ...place, timeoutMs: 600_000 });
  }

  /** The version that apt would install of `name`, which apt must know. */
  async version(name: string): Promise<string> {
    const version = /Candidate: (\S+)/.exec(await this.cache(["policy", name]))?.[1];
    if (!version || version === "(none)") throw new Error(`apt has no version of ${name} to download; run apt-get update`);
    return version;
  }

  /** Downloads packages ("libc6", "libc6=2.36-9") into `directory` and returns the files' paths. */
  async download(names: readonly string[], directory: string): Promise<string[]> {
    await this.get(["download", ...names], directory);
    const files = readdirSync(directory).filter((entry) => entry.endsWith(".deb"));
    if (files.length < names.length)
      throw new Error(`apt-get download ${names.join(" ")} left ${files.length} files in ${directory}`);
    return files.map((name) => `${directory}/${name}`);
  }

  /** Reads the archive's lists anew. */
  async update(): Promise<void> {
    await this.get(["update"]);
  }

  /** Does `work`, and where that fails again with new lists: old ones name packages that the archive has replaced since. */
  async withLists<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (process.getuid?.() !== 0) throw error;
      await this.update();
      return work();
    }
  }
}

const etc = "/etc/apt";

/**
 * An apt for `architecture` in `directory`, with nothing installed and the sources `files`. Keys, proxies and preferences are
 * the host's.
 */
function privateApt(architecture: Architecture, directory: string, files: readonly AptFile[]): Apt {
  for (const name of ["state/lists/partial", "cache/archives/partial", "sources"])
    mkdirSync(`${directory}/${name}`, { recursive: true });
  for (const { name, text } of files) writeFileSync(`${directory}/sources/${name}`, text);
  const { debian } = ARCHITECTURE[architecture];
  const settings = {
    "Dir::State": `${directory}/state`,
    "Dir::State::status": "/dev/null",
    "Dir::Cache": `${directory}/cache`,
    "Dir::Etc::sourcelist": "/dev/null",
    "Dir::Etc::sourceparts": `${directory}/sources`,
    "APT::Architecture": debian,
    "APT::Architectures::": debian,
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
  };
  const words = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return new Apt(words, [`${directory}/state/lists`]);
}

/** apt for packages of `architecture`, with lists of what there is. Takes seconds the first time. */
export async function aptFor(architecture: Architecture): Promise<Apt> {
  if (architecture === hostArchitecture) {
    return new Apt([], ["/var/lib/apt/lists", `${etc}/sources.list`, `${etc}/sources.list.d`, `${etc}/preferences.d`]);
  }
  return aptIn(architecture, `${cache}/apt/${architecture}`, hostAptFiles());
}

/** The same in a directory and with sources of one's own: for some of the suites only. */
export async function aptIn(architecture: Architecture, directory: string, files: readonly AptFile[]): Promise<Apt> {
  const apt = privateApt(architecture, directory, files.map(forEveryArchitecture));
  await withLock(`${directory}/lock`, async () => {
    if (!readdirSync(`${directory}/state/lists`).some((name) => name.endsWith("Release"))) await apt.update();
  });
  return apt;
}
