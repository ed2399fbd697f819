/**
 * A machine whose data partition somebody wrote to while it was off: the whole part of a boot that deals with state, as PID 1
 * runs it, over a real image and a real ext4 (or another), and a watch on everything that it must not touch.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { DATA_PLACE } from "../../init/sequence/data.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import { detachState, type LaidState, layState } from "../../init/sequence/state.ts";
import type { DataFilesystem, Operator } from "../../state-ops/control.ts";
import type { StateWish } from "../../state-ops/recovery.ts";
import { controlFile } from "../unit/golden-machine.ts";
import { images, operator } from "./state-boots.ts";
import {
  attach,
  countingKernel,
  detach,
  kernel,
  look,
  makeFilesystem,
  mountTmpfs,
  program,
  scratch,
  unmountAll,
} from "./state-machine.ts";

const root = `${scratch}/hostile-root`;
const place = `${scratch}/hostile-data`;
/** What no boot may change or show: outside of the data filesystem, and on it beside the stores. */
export const secret = `${scratch}/secret`;
const bystander = "lost+found/bystander";

/** The real kernel, which leaves the host's log and the children of this test alone. */
function guardedKernel(mounted: (data: string) => void): { kernel: Kernel; open: Set<number> } {
  const counting = countingKernel();
  const guarded = new Proxy(counting.kernel, {
    get(target, name) {
      if (name === "reap") return () => null;
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        const [path] = args;
        const ofHost = path === "/dev/kmsg" || path === "/proc/sys/kernel/printk_devkmsg";
        if (name === "open" && ofHost) throw new KernelError("openat2", String(path), "ENOENT");
        const result: unknown = Reflect.apply(method, target, args);
        if (name === "mount" && path !== "none" && args[1] === DATA_PLACE) mounted(DATA_PLACE);
        return result;
      };
    },
  });
  return { kernel: guarded, open: counting.open };
}

const kept = { origin: "test/state.yaml:1" };
const machineId = { kind: "file", state: "identity", seed: "none", generate: "machine-id" } as const;

/** One operator of each kind that a data partition can do something about. */
export const operators: Operator[] = [
  operator("/etc", { ...kept, via: "overlay" }),
  operator("/etc/machine-id", { ...kept, ...machineId }),
  operator("/etc/motd", { ...kept, kind: "file", state: "ephemeral", via: "symlink", target: "/run/motd" }),
  operator("/etc/secret", { ...kept, kind: "file", state: null, via: "mask" }),
  operator("/home", { ...kept, mode: 0o711, owner: 5, group: 6 }),
  operator("/srv", { ...kept, state: "shared", reason: "r", seed: "none", renamedFrom: "former" }),
  operator("/var", kept),
  operator("/var/log", { ...kept, state: "shared", reason: "r" }),
  operator("/var/vendor", { ...kept, state: null, via: "readonly" }),
];

/** What is mounted where, as long as nothing was wrong: the path, and what of the data filesystem is seen there. */
const stores: Record<string, string> = {
  "/etc/machine-id": "/shared/etc-machine-id",
  "/home": "/tree/home",
  "/srv": "/shared/srv",
  "/var": "/tree/var",
  "/var/log": "/shared/var-log",
};

export interface Outcome {
  laid: LaidState | null;
  /** Why the slot failed; null where it did not. */
  failure: string | null;
  warnings: string[];
  read(path: string): string;
  /** Where the new root is. */
  root: string;
}

export interface HostileBoot {
  type?: DataFilesystem;
  disk: string;
  slot?: "a" | "b";
  previousEnd?: "clean" | "unclean" | "none";
  onFailure?: Operator["onFailure"];
  operators?: Operator[];
  wish?: StateWish;
  /** The slot that was committed last, with the image that it has; a where it is left out. */
  committedSlot?: "a" | "b";
  isTrial?: boolean;
  /** Where the slot has another one than usual. */
  imageId?: string;
  /** Number of this attempt, and of the one that was last good. */
  attempts?: { now: number; good: number };
  /** The machine has none. */
  withoutData?: boolean;
  /** Runs right after PID 1 has mounted the data filesystem, with its path. */
  mounted?: (data: string) => void;
}

const imageOf = { a: images.v1, b: images.v2 };

/**
 * Boots as far as the state goes, hands the outcome to `look`, and takes everything away. Slot a is the committed one. What
 * always holds is asserted: mounts show their stores or memory and nothing else, the bystanders are as they were, no
 * descriptor and no mount is left.
 */
export async function bootHostile(order: HostileBoot, see: (outcome: Outcome) => void): Promise<void> {
  const {
    type = "ext4",
    disk,
    slot = "a",
    onFailure = "required",
    previousEnd = "clean",
    attempts = { now: 7, good: 6 },
  } = order;
  const { committedSlot = "a" } = order;
  const laidOperators = (order.operators ?? operators).map((entry) => ({ ...entry, onFailure }));
  const guarded = guardedKernel(order.mounted ?? (() => {}));
  const control = controlFile({
    operators: laidOperators,
    data: { device: "PARTLABEL=d", filesystem: type, whenReplaced: "refuse", grow: false, create: false },
  });
  const launch = new Launch(guarded.kernel, new Log(guarded.kernel), control.control, parseCommandLine(""));
  const device = attach(disk);
  mkdirSync(root, { recursive: true });
  kernel.mount(imageDevice(imageOf[slot]), root, "erofs", MS.RDONLY, "");
  mountTmpfs("/run");
  const mountsBefore = mountLines().length;
  const newRoot = kernel.open(root, O.RDONLY | O.DIRECTORY);
  let laid: LaidState | null = null;
  let failure: string | null = null;
  try {
    laid = await layState(launch, {
      ...{
        newRoot,
        imageControl: control.control,
        slot,
        wish: order.wish ?? "ordinary",
        imageId: order.imageId ?? `sha256:${slot}`,
        attempt: attempts.now,
        trial: order.isTrial ?? slot !== committedSlot,
        previousEnd,
      },
      ...{
        committed: { slot: committedSlot, imageId: `sha256:${committedSlot}`, attempt: attempts.good },
        left: null,
        knownData: null,
        opened: null,
        checked: null,
      },
      findDevice: async () => {
        if (order.withoutData) throw new Error("no partition labelled d");
        return { path: device, readOnly: false, sizeBytes: BigInt(statSync(disk).size) };
      },
    });
    detachState(launch, laid);
    for (const line of mountLines().slice(mountsBefore)) allowed(line, launch.warnings);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  try {
    assert.equal([...guarded.open], [], "a descriptor was left open");
    const read = (path: string): string => readFileSync(`${root}${path}`, "utf8");
    see({ laid, failure, warnings: [...launch.warnings, ...launch.stateNotes, ...(laid?.notes ?? [])], read, root });
    const left = mountLines().filter((line) => / \/run\//.test(line));
    assert.equal(left, [], "nothing of PID 1's stays below /run");
  } finally {
    kernel.close(newRoot);
    program("umount", "--recursive", root);
    unmountAll("/run");
    try {
      assert.equal(onDisk(device, bystanders), untouched.get(type), "something was changed that is none of the boot's business");
    } finally {
      detach(device);
    }
  }
}

const imageDevices = new Map<string, string>();

/** The loop device of an image, one for all boots. */
function imageDevice(image: string): string {
  const device = imageDevices.get(image) ?? attach(image);
  imageDevices.set(image, device);
  return device;
}

function mountLines(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
}

/** A mount on the new root shows its own store or memory, without devices and setuid files. */
function allowed(line: string, warnings: string[]): void {
  const [before = "", after = ""] = line.split(" - ");
  const [, , , shown = "", at = "", flags = ""] = before.split(" ");
  const [filesystem = ""] = after.split(" ");
  if (!at.startsWith(`${root}/`)) return;
  const path = at.slice(root.length);
  assert.ok(flags.includes("nodev") && flags.includes("nosuid"), `${path} is mounted ${flags}`);
  if (filesystem === "tmpfs" || filesystem === "overlay" || filesystem === "erofs") return;
  const store = stores[path] ?? "";
  const expected = store.startsWith("/shared/") ? [store, store.replace(/srv$/, "former")] : [];
  const generations = store.startsWith("/tree/") ? new RegExp(`/gens/\\d{6}${store}$`) : /^$/;
  assert.ok(expected.includes(shown) || generations.test(shown), `${path} shows ${shown} (${warnings})`);
}

/** What {@link bystanders} saw before any boot. */
const untouched = new Map<DataFilesystem, unknown>();

/** Everything outside of the stores that a boot could have touched. */
function bystanders(data: string): unknown {
  const open = (path: string) => kernel.open(path, O.RDONLY | O.DIRECTORY);
  const [outside, beside] = [open(scratch), open(data)];
  try {
    return { outside: look(outside, "secret"), beside: look(beside, bystander) };
  } finally {
    kernel.close(outside);
    kernel.close(beside);
  }
}

/** Mounts the disk (a file, or a loop device) at a place of the test's own, runs `work` with that path, and unmounts it. */
export function onDisk<Result>(disk: string, work: (data: string) => Result): Result {
  mkdirSync(place, { recursive: true });
  program("mount", "-o", disk.startsWith("/dev/loop") ? "noatime" : "loop,noatime", disk, place);
  try {
    return work(place);
  } finally {
    program("umount", place);
  }
}

let attacks = 0;
const healthy = new Map<DataFilesystem, string>();

/** A disk on which slot a's state was laid, used and left in order, and which `attack` then wrote to. */
export async function attackedDisk(attack: (data: string) => void, type: DataFilesystem = "ext4"): Promise<string> {
  let pristine = healthy.get(type);
  if (pristine === undefined) {
    pristine = makeFilesystem(type, `${scratch}/healthy-${type}.disk`);
    mkdirSync(secret, { recursive: true });
    if (!existsSync(`${secret}/key`)) writeFileSync(`${secret}/key`, "secret");
    onDisk(pristine, (data) => {
      mkdirSync(`${data}/${bystander}`, { recursive: true });
      writeFileSync(`${data}/${bystander}/file`, "as it was");
      // The first look changes the times of access.
      bystanders(data);
      untouched.set(type, bystanders(data));
    });
    await bootHostile({ type, disk: pristine, previousEnd: "none" }, ({ failure }) => {
      assert.is(failure, null);
      for (const path of ["/etc/mine", "/home/mine", "/srv/mine", "/var/mine", "/var/log/mine"]) {
        writeFileSync(`${root}${path}`, `kept in ${path}`);
      }
    });
    healthy.set(type, pristine);
  }
  const disk = `${scratch}/attacked-${type}-${++attacks}.disk`;
  rmSync(`${scratch}/attacked-${type}-${attacks - 1}.disk`, { force: true });
  program("cp", "--sparse=always", pristine, disk);
  onDisk(disk, attack);
  return disk;
}
