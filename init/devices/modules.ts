import { filesForAlias, MODULES, type ModuleIndex, moduleName } from "../../boot/modules.ts";
import { hasOnly } from "../../state-ops/plain-text.ts";
import { O } from "../kernel/constants.ts";
import { readTextIfThere, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { list } from "./scan.ts";

/** Where devices are that have a modalias of a prefix, other than on the bus of that name. */
const BUSES: Record<string, string[]> = { of: ["platform"], acpi: ["acpi", "platform"] };

/** What the network is made of besides drivers, where it is not part of the kernel: the kernel's own way to them is a modprobe. */
const NETWORK = ["af_packet", "ipv6"];

/** How often devices may appear behind others that a module brought (controller, bus, disk, …). */
const MOST_ROUNDS = 16;

/** Loads the modules of the initrd. A module that cannot be loaded is remembered in `failures` and stops nothing. */
export class ModuleLoader {
  /** "nvme.ko: ENOEXEC", in the order they were tried. */
  readonly failures: string[] = [];
  /** Files that the kernel took, in order. */
  readonly loaded: string[] = [];
  readonly #kernel: Kernel;
  readonly #index: ModuleIndex;
  readonly #onProgress: () => void;
  readonly #tried = new Set<string>();
  readonly #asked = new Set<string>();
  /** Devices whose modalias was read. */
  readonly #seen = new Set<string>();
  /** What only a recovery wants, until it does. */
  #heldBack: ReadonlySet<string>;
  /** The index by the part of its patterns before the colon: a machine asks a few hundred times. */
  readonly #byBus = new Map<string, ModuleIndex>();

  /** @param onProgress called after each module: a driver may take seconds to look at its hardware */
  constructor(kernel: Kernel, index: ModuleIndex, onProgress: () => void = () => {}) {
    this.#kernel = kernel;
    this.#index = index;
    this.#onProgress = onProgress;
    this.#heldBack = new Set(index.recovery);
  }

  /** Loads those that are wanted at every boot. */
  loadListed(): void {
    for (const file of this.#index.load) {
      for (const needed of this.#index.depends[file] ?? []) this.#load(needed);
      this.#load(file);
    }
  }

  /**
   * Loads what the devices ask for that are there now, and those that appear behind them. Reads `modalias` of
   * /sys/bus/&#42;/devices, of the buses that a module in the index is for: each file costs time at every boot.
   */
  loadForHardware(): void {
    const prefixes = new Set(
      this.#index.aliases.map(([pattern]) => busOf(pattern)).filter((bus) => bus !== "" && hasOnly(bus, "_")),
    );
    const buses = [...new Set([...prefixes].flatMap((prefix) => BUSES[prefix] ?? [prefix]))].sort();
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const known = this.#seen.size;
      for (const bus of buses) {
        const directory = `/sys/bus/${bus}/devices`;
        for (const device of list(this.#kernel, directory)) this.#loadForDevice(`${directory}/${device}`);
      }
      if (this.#seen.size === known) return;
    }
  }

  /** The same with the drivers that ordinary boots do without: those of the network. */
  loadForRecovery(): void {
    if (this.#heldBack.size > 0) {
      this.#heldBack = new Set();
      this.#byBus.clear();
      this.#seen.clear();
      this.#asked.clear();
      for (const name of NETWORK) this.loadNamed(name);
    }
    this.loadForHardware();
  }

  #loadForDevice(path: string): void {
    if (this.#seen.has(path)) return;
    this.#seen.add(path);
    const modalias = readTextIfThere(this.#kernel, `${path}/modalias`)?.trim();
    if (modalias) this.loadForAlias(modalias);
  }

  /** Loads what `modalias` asks for: that of a device, or "fs-xfs" before a mount, since no modprobe runs in an initrd. */
  loadForAlias(modalias: string): void {
    if (this.#asked.has(modalias)) return;
    this.#asked.add(modalias);
    for (const file of filesForAlias(this.#indexFor(modalias), modalias)) this.#load(file);
  }

  /** Loads a module by its name, where the initrd has it: "dm_verity". */
  loadNamed(name: string): void {
    for (const [file, needs] of Object.entries(this.#index.depends)) {
      if (moduleName(file) !== name) continue;
      for (const needed of needs) this.#load(needed);
      this.#load(file);
    }
  }

  #indexFor(modalias: string): ModuleIndex {
    const bus = busOf(modalias);
    let index = this.#byBus.get(bus);
    if (!index) {
      const aliases = this.#index.aliases.filter(
        ([pattern, file]) =>
          !this.#heldBack.has(file) && (busOf(pattern) === bus || ["*", "?", "["].some((glob) => busOf(pattern).includes(glob))),
      );
      index = { ...this.#index, aliases };
      this.#byBus.set(bus, index);
    }
    return index;
  }

  #load(file: string): void {
    if (this.#tried.has(file)) return;
    this.#tried.add(file);
    let code = this.#give(file);
    // The kernel waited for preinit's child to load it, and that failed: only a load of our own tells why.
    if (code === "EBUSY") code = this.#give(file);
    if (code === null) this.loaded.push(file);
    else if (code !== "EEXIST") this.failures.push(`${file}: ${code}`);
    this.#onProgress();
  }

  /** Gives a module to the kernel. Returns null, or the error's code. */
  #give(file: string): string | null {
    try {
      withOpen(this.#kernel, `${MODULES.directory}/${file}`, O.RDONLY, (fd) => this.#kernel.loadModule(fd, ""));
      return null;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return error.code;
    }
  }
}

function busOf(alias: string): string {
  const colon = alias.indexOf(":");
  return colon < 0 ? "" : alias.slice(0, colon).replaceAll("-", "_");
}
