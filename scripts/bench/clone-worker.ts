/** `bun clone-worker.ts SCRATCH FILESYSTEM RUNS`, in a mount namespace of its own: a line of JSON for each clone that was timed. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { O } from "../../init/kernel/constants.ts";
import type { Descriptor } from "../../init/kernel/kernel.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { type BuildOrder, buildGeneration } from "../../init/state/build-generation.ts";
import { cloneTree } from "../../init/state/clone-tree.ts";
import { layOut } from "../../init/state/data-filesystem.ts";
import { fileSizes } from "./clone-sizes.ts";
import { plainCopy, snapshot } from "./clone-table.ts";

const [scratch = "", filesystem = "", runs = "1"] = process.argv.slice(2);
const kernel = linuxKernel();
const disk = `${scratch}/disk`;
const place = `${scratch}/data`;
const source = `${place}/gens/000001`;
const copy = `${place}/copy`;
const files = { count: 20_000, total: 1024 ** 3, inDirectory: 200 };

function run(program: string, ...words: string[]): void {
  execFileSync(program, words, { stdio: ["ignore", "ignore", "inherit"] });
}

function mount(): void {
  run("mount", "-t", filesystem, "-o", "loop,nodev,nosuid,noatime", disk, place);
}

/** Nothing of the filesystem is in memory afterwards. */
function mountAnew(): void {
  run("umount", place);
  mount();
}

function withData<Result>(use: (data: Descriptor) => Result): Result {
  const data = kernel.open(place, O.RDONLY | O.DIRECTORY);
  try {
    return use(data);
  } finally {
    kernel.close(data);
  }
}

const order: Omit<BuildOrder, "plan"> = {
  ...{ slot: "a", imageId: "bench", controlDigest: "bench", attempt: 1, operators: [], newRoot: -1 },
  adapt: () => ({ files: {}, notes: [] }),
};

/** Generation 1, with all files in one store. */
function plant(): void {
  const plan = { do: "create", to: 1, why: "bench", reason: null } as const;
  withData((data) => {
    layOut(kernel, data, "bench");
    buildGeneration(kernel, data, { ...order, plan }, () => {});
  });
  const bytes = new Uint8Array(8 * 1024 * 1024);
  for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  let state = 1;
  const random = () => {
    state = (state * 48271) % 0x7fffffff;
    return state / 0x7fffffff;
  };
  fileSizes(files.count, files.total, random).forEach((size, index) => {
    const directory = `${source}/tree/store/${Math.floor(index / files.inDirectory)}`;
    if (index % files.inDirectory === 0) mkdirSync(directory, { recursive: true });
    const start = Math.floor(random() * (bytes.length - size));
    writeFileSync(`${directory}/file-${index}`, bytes.subarray(start, start + size));
  });
  run("sync", "--file-system", place);
}

function copied(how: "never" | "always"): void {
  run("cp", "--archive", `--reflink=${how}`, `${source}/tree/store`, copy);
  run("sync", "--file-system", place);
}

/** Each makes a clone that is durable when it returns. */
const contestants: { name: string; clone(): void; remove(): void }[] = [
  {
    name: "slipway",
    clone: () => {
      const plan = { do: "clone", from: 1, to: 2, parent: 1, without: [], why: "bench", reason: null } as const;
      withData((data) => buildGeneration(kernel, data, { ...order, plan }, () => {}));
    },
    remove: () => {
      if (filesystem === "btrfs") run("btrfs", "--quiet", "subvolume", "delete", `${place}/gens/000002`);
      else rmSync(`${place}/gens/000002`, { recursive: true });
    },
  },
  { name: plainCopy, clone: () => copied("never"), remove: () => rmSync(copy, { recursive: true }) },
];
if (filesystem !== "ext4") {
  contestants.push({
    name: "cp -a --reflink=always",
    clone: () => copied("always"),
    remove: () => rmSync(copy, { recursive: true }),
  });
}
if (filesystem === "btrfs") {
  contestants.push(
    {
      name: "slipway, where a snapshot cannot be made",
      clone: () =>
        withData((data) => {
          const options = { onProgress: () => {}, dropOptionalAttributes: false };
          cloneTree(kernel, { at: data, name: "gens/000001/tree/store" }, { at: data, name: "copy" }, options);
          kernel.syncFilesystem(data);
        }),
      remove: () => rmSync(copy, { recursive: true }),
    },
    {
      name: snapshot,
      clone: () => {
        run("btrfs", "subvolume", "snapshot", source, copy);
        run("sync", "--file-system", place);
      },
      remove: () => run("btrfs", "--quiet", "subvolume", "delete", copy),
    },
  );
}

writeFileSync(disk, "");
truncateSync(disk, 6 * 1024 ** 3);
run(`mkfs.${filesystem}`, "-q", ...(filesystem === "ext4" ? ["-F"] : []), disk);
mkdirSync(place);
mount();
plant();
for (let number = 0; number < Number(runs); number++) {
  for (const { name, clone, remove } of contestants) {
    mountAnew();
    const began = performance.now();
    clone();
    console.log(JSON.stringify({ name, ms: performance.now() - began }));
    remove();
    run("sync", "--file-system", place);
  }
}
run("umount", place);
