/** The bootloader's store during a boot, beside the boot record. */
import type { MetStore } from "../../boot/stores/told-loader.ts";
import type { RecordKeeper } from "../store/boot-record.ts";
import { MirroredRecord, type MirrorRules, type Reached } from "../store/loader-store/mirrored-record.ts";
import { devicesOfStore } from "../store/loader-store/open.ts";
import type { Launch } from "./launch.ts";

/** The store of this boot, before the record was read. */
export class BootMirror {
  readonly #boot: Launch;
  readonly #reached: Reached;
  readonly #rules: MirrorRules;
  #mirrored: MirroredRecord | null = null;

  constructor(boot: Launch, reached: Reached, rules: MirrorRules) {
    this.#boot = boot;
    this.#reached = reached;
    this.#rules = rules;
  }

  /** The record with the store beside it. `own` is null where the record's own place was not found. */
  mirror(own: RecordKeeper | null): MirroredRecord {
    this.#mirrored = new MirroredRecord(this.#boot.kernel, own, this.#reached, this.#rules, (warning) =>
      this.#boot.warnOnce(warning),
    );
    return this.#mirrored;
  }

  /** What others changed there, once the record was read. What is wrong with the store is warned of. */
  read(): readonly string[] {
    const reading = this.#mirrored?.reading;
    if (reading?.condition === "unreadable") {
      this.#boot.warn(`the bootloader's store cannot be read (${reading.reason}): the boot record says what there is to know`);
    } else if (reading?.condition === "empty") {
      this.#boot.log.notice(`the bootloader's store is empty (${reading.reason}): it is written from the boot record`);
    } else if (reading && reading.reason !== null) this.#boot.warn(`the bootloader's store: ${reading.reason}`);
    return this.#mirrored?.merged ?? [];
  }

  /** For the report of this boot. */
  met(): MetStore {
    const { store } = this.#boot.control.bootRecord;
    const mirrored = this.#mirrored;
    if (mirrored === null) return { store: null, merged: [], nonces: [] };
    const { condition, view, reason } = mirrored.reading;
    const place = this.#reached.store?.place ?? devicesOfStore(this.#boot.control).join(", ");
    return {
      store: { kind: store, place, condition, reason },
      merged: [...mirrored.merged],
      nonces: [view?.nonce ?? null, mirrored.knownNonce],
    };
  }
}
