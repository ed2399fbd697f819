import type { ToldRecovery } from "../../boot/recovery/step.ts";
import type { BootReport } from "../../boot/report.ts";
import type { ToldLoader } from "../../boot/stores/told-loader.ts";
import type { ControlBootloader, ControlFile, ControlTrust, SlotDefinition } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { bootRecordReader } from "../../state-ops/read-boot-record.ts";
import { type ControlRecovery, RUNGS } from "../../state-ops/recovery.ts";
import { parsed, type Reader, Unexpected } from "./lenient-reader.ts";

/**
 * Reading of what PID 1 left below /run. The initrd may be newer or older than the image that this runs from (think of a
 * rollback), so only what the commands use must be there, and unknown keys are ignored: a strict reader would keep a good
 * old image from being committed.
 */

/** The part of the control file that the commands use. */
export type BootedControl = Pick<ControlFile, "system" | "slots" | "tries" | "trialDeadline" | "watchdog" | "trust"> & {
  data: Pick<NonNullable<ControlFile["data"]>, "device" | "filesystem" | "whenReplaced"> | null;
  /** Left out where the bootloader is nothing of slipway's. */
  bootloader?: ControlBootloader;
  /** Null for an initrd of a version that knew no recovery. */
  recovery: BootedRecovery | null;
  /** Null where the initrd's version knows a store that this one does not. */
  bootRecord: ControlFile["bootRecord"] | null;
  chooser: ControlFile["chooser"];
};

export type BootedRecovery = Pick<ControlRecovery, "ladder" | "sources" | "factory" | "media">;

/** Reads boot.json. Throws Error that says what is wrong with it. */
export function readReport(text: string): BootReport {
  return parsed(text, "boot.json", (report) => {
    const record = report.object("record");
    return {
      schema: 1,
      controlFormat: report.number("controlFormat"),
      features: report.texts("features"),
      attempt: report.number("attempt"),
      slot: report.text("slot"),
      imageId: report.text("imageId"),
      image: report.nullable("image", () => {
        const image = report.object("image");
        return {
          system: image.text("system"),
          version: image.text("version"),
          rootHash: image.text("rootHash"),
          filesystemSize: image.number("filesystemSize"),
          rollbackIndex: image.number("rollbackIndex"),
          revokesBelow: image.nullable("revokesBelow", () => image.number("revokesBelow")),
          salt: image.text("salt"),
        };
      }),
      proof: report.nullable("proof", () => report.word("proof", ["signed", "unsigned", "none"])) ?? "none",
      signers: report.texts("signers"),
      verity: report.nullable("verity", () => {
        const verity = report.object("verity");
        return { device: verity.text("device"), options: verity.texts("options") };
      }),
      slotDevice: report.text("slotDevice"),
      trial: report.flag("trial"),
      why: report.text("why"),
      skipped: report.list("skipped", (entry) => ({ slot: entry.text("slot"), reason: entry.text("reason") })),
      rollback: report.nullable("rollback", () => {
        const rollback = report.object("rollback");
        return {
          from: rollback.text("from"),
          imageId: rollback.nullable("imageId", () => rollback.text("imageId")),
          reason: rollback.text("reason"),
          attempt: rollback.nullable("attempt", () => rollback.number("attempt")),
          startedUnixMs: rollback.nullable("startedUnixMs", () => rollback.number("startedUnixMs")),
        };
      }),
      record: {
        condition: record.word("condition", ["valid", "empty", "unreadable"]),
        writable: record.flag("writable"),
        device: record.nullable("device", () => record.text("device")),
      },
      ...(report.nullable("loader", () => ({ loader: loaderIn(report.object("loader")) })) ?? {}),
      generation: report.nullable("generation", () => report.text("generation")),
      data: report.nullable("data", () => {
        const data = report.object("data");
        return { device: data.text("device"), filesystem: data.text("filesystem"), uuid: data.text("uuid") };
      }),
      stateNotes: report.texts("stateNotes"),
      degraded: report.list("degraded", (entry) => ({ path: entry.text("path"), reason: entry.text("reason") })),
      recovery: report.nullable("recovery", () => recoveryIn(report.object("recovery"))),
      warnings: report.texts("warnings"),
      timeline: report.list("timeline", (part) => ({
        name: part.text("name"),
        startMs: part.number("startMs"),
        lengthMs: part.number("lengthMs"),
        // What an older initrd noted had ended.
        ...(part.nullable("open", () => part.flag("open")) === true ? { open: true as const } : {}),
      })),
    };
  });
}

function loaderIn(loader: Reader): ToldLoader {
  return {
    chooser: loader.word("chooser", ["slipway", "loader"]),
    named: loader.nullable("named", () => loader.text("named")),
    nonce: loader.word("nonce", ["same", "other", "none", "unknown"]),
    store: loader.nullable("store", () => {
      const store = loader.object("store");
      return {
        kind: store.text("kind"),
        place: store.text("place"),
        condition: store.word("condition", ["valid", "empty", "unreadable"]),
        reason: store.nullable("reason", () => store.text("reason")),
      };
    }),
    merged: loader.texts("merged"),
  };
}

function recoveryIn(recovery: Reader): ToldRecovery {
  return {
    asked: recovery.nullable("asked", () => recovery.text("asked")),
    rung: recovery.nullable("rung", () => recovery.word("rung", RUNGS)),
    steps: recovery.list("steps", (step) => ({
      rung: step.word("rung", RUNGS),
      slot: step.nullable("slot", () => step.text("slot")),
      outcome: step.word("outcome", ["booted", "failed", "passed"]),
      reason: step.text("reason"),
      startMs: step.number("startMs"),
      lengthMs: step.number("lengthMs"),
      installed: step.nullable("installed", () => {
        const installed = step.object("installed");
        return {
          version: installed.text("version"),
          imageId: installed.text("imageId"),
          source: installed.text("source"),
          place: installed.word("place", ["slots", "factory", "media", "mirror"]),
        };
      }),
      networkBytes: step.number("networkBytes"),
      writtenBytes: step.number("writtenBytes"),
    })),
    network: recovery.nullable("network", () => {
      const network = recovery.object("network");
      return { link: network.text("link"), by: network.text("by"), addresses: network.texts("addresses") };
    }),
    reportedTo: recovery.nullable("reportedTo", () => recovery.text("reportedTo")),
  };
}

/** Reads the commands' part of the initrd's control file. Throws Error that says what is wrong with it. */
export function readBootedControl(text: string): BootedControl {
  return parsed(text, "control.json", (control) => ({
    system: control.text("system"),
    slots: control.list("slots", slotIn),
    data: control.nullable("data", () => {
      const data = control.object("data");
      return {
        device: data.text("device"),
        filesystem: data.word("filesystem", ["ext4", "xfs", "btrfs"]),
        whenReplaced: data.word("whenReplaced", ["refuse", "adopt"]),
      };
    }),
    tries: { trial: control.object("tries").number("trial"), committed: control.object("tries").number("committed") },
    trialDeadline: control.number("trialDeadline"),
    watchdog: control.nullable("watchdog", () => {
      const watchdog = control.object("watchdog");
      return { timeout: watchdog.number("timeout"), after: watchdog.word("after", ["systemd", "keep", "stop"]) };
    }),
    trust: control.nullable("trust", () => readTrust(control.object("trust"))) ?? { mode: "unsigned" },
    ...bootloaderIn(control),
    recovery: control.nullable("recovery", () => readRecovery(control.object("recovery"))),
    bootRecord: readBootRecord(control),
    chooser: control.word("chooser", ["slipway", "loader"]),
  }));
}

function bootloaderIn(control: Reader): { bootloader?: ControlBootloader } {
  const read = () => {
    const bootloader = control.object("bootloader");
    const directories = bootloader.list("directories", (entry) => ({
      device: entry.text("device"),
      directory: entry.text("directory"),
    }));
    return { bootloader: { directories, program: bootloader.text("program") } };
  };
  return control.nullable("bootloader", read) ?? {};
}

/** A store of a newer version is nothing to write to; everything else of the machine can be told all the same. */
function readBootRecord(control: Reader): BootedControl["bootRecord"] {
  try {
    return bootRecordReader.read(control.value("bootRecord"));
  } catch (error) {
    if (error instanceof BadInput) return null;
    throw error;
  }
}

/** Rungs that this version does not know are left out: nobody can ask for them here. */
function readRecovery(recovery: Reader): BootedRecovery {
  return {
    ladder: recovery.texts("ladder").flatMap((word) => RUNGS.find((rung) => rung === word) ?? []),
    sources: recovery.texts("sources"),
    factory: recovery.nullable("factory", () => recovery.text("factory")),
    media: recovery.flag("media"),
  };
}

/** What reporting a recovery needs of the control file. */
export type Reporting = Pick<ControlRecovery, "report" | "authorities" | "proxy">;

/** Reads whom the initrd's control file wants to be told of a recovery. Throws Error that says what is wrong with it. */
export function readReporting(text: string): Reporting {
  const nobody: Reporting = { report: null, authorities: null, proxy: null };
  return parsed(text, "control.json", (control) => {
    const read = (): Reporting => {
      const recovery = control.object("recovery");
      const textOf = (key: string): string | null => recovery.nullable(key, () => recovery.text(key));
      return { report: textOf("report"), authorities: textOf("authorities"), proxy: textOf("proxy") };
    };
    return control.nullable("recovery", read) ?? nobody;
  });
}

/** An initrd of a version that knew no signatures says nothing: it boots anything. */
function readTrust(trust: Reader): ControlTrust {
  if (trust.word("mode", ["unsigned", "signed"]) === "unsigned") return { mode: "unsigned" };
  const threshold = trust.number("threshold");
  if (threshold < 1) throw new Unexpected(`control.json.trust.threshold is ${threshold}, expected 1 at least`);
  return {
    mode: "signed",
    keys: trust.texts("keys"),
    threshold,
    rollbackFloor: trust.number("rollbackFloor"),
    kernelSignature: trust.word("kernelSignature", ["ignored", "required"]),
  };
}

function slotIn(slot: Reader): SlotDefinition {
  const name = slot.text("name");
  const bootname = slot.nullable("bootname", () => slot.text("bootname"));
  const names = bootname === null ? { name } : { name, bootname };
  return (
    slot.nullable("file", () => ({ ...names, file: slot.text("file"), size: slot.number("size") })) ?? {
      ...names,
      device: slot.text("device"),
      ...slot.nullable("verity", () => ({ verity: slot.text("verity") })),
      ...slot.nullable("signature", () => ({ signature: slot.text("signature") })),
    }
  );
}
