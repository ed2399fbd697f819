/** Sealed images for the machines of golden and planned boots, and machines that trust them. */
import * as assert from "uvu/assert";
import { layoutOf, type Manifest } from "../../boot/image/seal.ts";
import type { BootReport } from "../../boot/report.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import type { ControlFile, ControlTrust } from "../../state-ops/control.ts";
import { fixedKey, sealedImage, type TestKey } from "../samples/sealed-image.ts";
import { controlFile, type Image, image } from "./golden-machine.ts";
import { type Boot, World, type WorldOptions } from "./golden-world.ts";

export const release = await fixedKey(1);
export const stranger = await fixedKey(2);

type SignedTrust = Extract<ControlTrust, { mode: "signed" }>;

/** What the control file of a machine says that believes images which {@link release} signed. */
export function signedControl(change: Partial<SignedTrust> = {}): Partial<ControlFile> {
  const keys = [release.key.raw.toHex()];
  const trust: SignedTrust = { mode: "signed", keys, threshold: 1, rollbackFloor: 0, kernelSignature: "ignored", ...change };
  return { operators: [], commandLine: "locked", trust };
}

const plainControl = { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text };

export interface SealChange {
  keys?: TestKey[];
  manifest?: Partial<Manifest>;
  tree?: Tree;
  /** Changes the bytes of the finished image. */
  spoil?: (bytes: Uint8Array) => void;
}

/** An image without declared state, sealed and signed by {@link release} unless said otherwise. */
export async function sealed(number: number, { keys = [release], manifest, tree, spoil }: SealChange = {}): Promise<Image> {
  const plain = image(number, { ...plainControl, ...tree });
  const { bytes, manifest: made } = await sealedImage(plain.head, keys, {
    system: "acme-gateway",
    version: `${number}.0`,
    ...manifest,
  });
  spoil?.(bytes);
  return { ...plain, head: bytes, id: made.rootHash };
}

/** Flips a bit. */
export function flip(bytes: Uint8Array, at: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
}

/** What the machines of {@link beforeTrial} have committed in slot a. */
export const v1 = await sealed(1, { manifest: { rollbackIndex: 5 } });
/** Of these images. */
export const layout = layoutOf({ filesystemSize: 64 * 1024 });

/** boot.json of a boot that handed over. */
export function report(boot: Boot): BootReport {
  return JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
}

/** A machine whose slot a is committed, with `trial` in slot b to be tried. */
export async function beforeTrial(trial: Image, options: WorldOptions = {}): Promise<World> {
  const world = new World({ a: v1, control: signedControl(), ...options });
  assert.is((await world.boot()).end, "exec /sbin/init");
  world.commitAndShutDown("a", v1.id, { rollbackIndex: 5, revokesBelow: null });
  world.installInB(trial);
  return world;
}

/** The reason for which slot b was left for slot a in this very boot. */
export function leftFor(boot: Boot): string {
  assert.is(boot.end, "exec /sbin/init");
  assert.is(report(boot).slot, "a");
  assert.is(report(boot).verity?.device, "/dev/dm-0", "the name is free again");
  const [{ slot = "", reason = "" } = {}] = report(boot).skipped;
  assert.is(slot, "b");
  return reason;
}
