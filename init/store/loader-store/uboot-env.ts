/** U-Boot's environment: on a device as it is, in files, or in flash. */
import { UBOOT_DIALECTS } from "../../../boot/stores/uboot-dialects.ts";
import {
  changeEnvironment,
  type EnvironmentLayout,
  type EnvironmentReading,
  type EnvironmentWrite,
  readEnvironment,
} from "../../../boot/stores/uboot-env.ts";
import type { StoreReading, StoreSlot, StoreView, VariableDialect } from "../../../boot/stores/view.ts";
import { isMtd } from "../../../state-ops/boot-record-rules.ts";
import type { EnvironmentCopy } from "../../../state-ops/control.ts";
import { KernelError } from "../../kernel/kernel.ts";
import type { Written } from "../boot-record.ts";
import { placeOfCopy, readCopy, writeCopy } from "./environment-copy.ts";
import { withEnvironmentLock } from "./environment-lock.ts";
import { StoreFailure } from "./filesystem.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { failed, readingOf, withChanges } from "./reading.ts";

export class EnvironmentStore implements LoaderStore {
  readonly kind = "uboot-env";
  readonly place: string;
  readonly #desk: StoreDesk;
  readonly #copies: readonly EnvironmentCopy[];
  readonly #slots: readonly StoreSlot[];
  readonly #dialect: VariableDialect;
  readonly #layout: EnvironmentLayout;
  #reading: EnvironmentReading;

  /** `copies` with device nodes. */
  constructor(
    desk: StoreDesk,
    { copies, dialect }: { copies: readonly EnvironmentCopy[]; dialect: "rauc" | "rauc-decimal" },
    slots: readonly StoreSlot[],
  ) {
    this.#desk = desk;
    this.#copies = copies;
    this.#slots = slots;
    this.#dialect = UBOOT_DIALECTS[dialect];
    this.#layout = layoutOf(copies);
    this.#reading = readEnvironment([null, null], this.#layout);
    this.place = copies.map(placeOfCopy).join(" and ");
  }

  read(): StoreReading {
    const faults: string[] = [];
    const copies = this.#copies.map((copy) => {
      try {
        return readCopy(this.#desk, copy);
      } catch (error) {
        faults.push(failed(placeOfCopy(copy), error));
        return null;
      }
    });
    this.#reading = readEnvironment(copies, this.#layout);
    const { condition, variables } = this.#reading;
    const told = [this.#reading.reason, ...faults].filter((fault) => fault !== null && fault !== "");
    const reason = told.length > 0 ? told.join("; ") : null;
    if (condition !== "valid") return { condition, view: null, reason: reason ?? `${this.place} cannot be read` };
    return readingOf(this.#dialect.view(variables, this.#slots), reason, this.place);
  }

  foresee(view: StoreView): StoreView {
    return this.#dialect.view(withChanges(this.#variables(), this.#changes(view)), this.#slots);
  }

  write(view: StoreView): Written {
    try {
      return withEnvironmentLock(this.#desk, () => this.#write(view));
    } catch (error) {
      return { written: false, reason: failed(this.place, error) };
    }
  }

  #write(view: StoreView): Written {
    // Somebody else may have changed it before the lock was ours; what we know of the slots was merged before.
    if (this.#desk.environmentLock !== null) this.read();
    if (this.#reading.condition !== "valid") {
      // An environment of our variables alone would take all others from U-Boot, with what it boots by.
      const reason = `${this.place} is left as it is: U-Boot starts with its built-in environment, and writes it anew with what its script counts`;
      return { written: false, reason };
    }
    const size = this.#copies[0]?.size ?? 0;
    const change = changeEnvironment(this.#reading, this.#layout, size, this.#changes(view));
    if (change.writes === null) return { written: false, reason: change.reason };
    for (const write of change.writes) this.#writeCopy(write);
    this.read();
    return { written: true };
  }

  raw(): readonly (readonly [string, string])[] {
    return [...this.#variables()];
  }

  #variables(): ReadonlyMap<string, string> {
    return this.#reading.variables ?? new Map();
  }

  #changes(view: StoreView): ReadonlyMap<string, string | null> {
    return this.#dialect.changes(view, this.#slots, this.#variables());
  }

  #writeCopy({ copy, offset, bytes }: EnvironmentWrite): void {
    const at = this.#copies[copy];
    if (at === undefined) throw new StoreFailure(`${this.place} has no copy ${copy + 1}`);
    try {
      writeCopy(this.#desk, at, offset, bytes);
    } catch (error) {
      if (error instanceof KernelError) throw new StoreFailure(`${placeOfCopy(at)}: ${error.message}`);
      throw error;
    }
  }
}

/** Which of two copies is newer is counted, or marked in flash. */
function layoutOf(copies: readonly EnvironmentCopy[]): EnvironmentLayout {
  if (copies.length < 2) return "single";
  return copies.some((copy) => isMtd(copy.device)) ? "boolean" : "incremental";
}
