/** A control file for tests: what system.yaml says without any of its optional keys, and nothing declared. */
import * as assert from "uvu/assert";
import { canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { type ControlRecovery, DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";

/** Of a machine that only tells why it does not boot, waits, and tries again. */
export const NO_RECOVERY: ControlRecovery = { ...DEFAULT_RECOVERY, ladder: [] };

/** The control file without its digest, with `change` instead of what is usual. */
export function sampleControl(change: Partial<ControlFile> = {}): Omit<ControlFile, "digest"> {
  return {
    schema: 1,
    system: "acme-gateway",
    slots: [
      { name: "a", device: "PARTLABEL=root-a" },
      { name: "b", device: "PARTLABEL=root-b" },
    ],
    disk: null,
    data: { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "refuse", grow: false, create: false },
    bootRecord: { store: "record", device: "PARTLABEL=boot-record" },
    chooser: "slipway",
    tries: { trial: 3, committed: 10 },
    trialDeadline: 600,
    deviceTimeout: 30,
    watchdog: null,
    commandLine: "open",
    trust: { mode: "unsigned" },
    recovery: NO_RECOVERY,
    install: null,
    accounts: { users: {}, groups: {} },
    operators: [],
    ...change,
  };
}

/** Its text, with the right digest. */
export function sampleControlText(change: Partial<ControlFile> = {}): string {
  return canonicalJsonWithDigest(sampleControl(change));
}

/** Asserts that a control file of that text is refused as bad input, with `message`. */
export function refusesControl(text: string, message: RegExp): void {
  try {
    readControl(text);
  } catch (error) {
    assert.instance(error, BadInput);
    assert.match(String(error), message);
    return;
  }
  assert.unreachable(`was read: ${text}`);
}
