/** A dm-verity device over a slot: what PID 1 mounts, and the kernel checks block by block. Made by ioctls, without a helper. */
import {
  DM_CONTROL,
  type DmRequest,
  dmDevice,
  dmTarget,
  dmTargetVersion,
  encodeDmRequest,
} from "../../boot/image/device-mapper.ts";
import type { Manifest } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import {
  canRestartOnError,
  createStep,
  type DmStep,
  loadStep,
  removeStep,
  resumeStep,
  signatureKeyName,
  type VerityMode,
  type VerityShape,
  verityOptions,
} from "../../boot/image/verity-table.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { IOCTL, O } from "../kernel/constants.ts";
import { exists, makeDirectories, withOpen } from "../kernel/files.ts";
import { type DeviceNumber, type Kernel, KernelError } from "../kernel/kernel.ts";

/** The kernel has no dm-verity: that says nothing about the image. */
export class VerityUnavailable extends Error {
  override readonly name = "VerityUnavailable";
}

export interface VeritySetup {
  /** Of the dm device: "slipway-a". */
  name: string;
  manifest: VerityShape & Pick<Manifest, "kernelSignature">;
  /** Of the slot's device. */
  number: DeviceNumber;
  /** Whether the kernel has to check the manifest's signature of the root hash. */
  kernelSignature: boolean;
}

/** Errors with which the kernel refuses a signature: none of its keys made it, it is another text's, or it is no signature. */
const BAD_SIGNATURE = new Set(["ENOKEY", "EKEYREJECTED", "EKEYEXPIRED", "EKEYREVOKED", "EBADMSG", "ENOPKG"]);

export class VerityDevice {
  readonly #kernel: Kernel;
  readonly #setup: VeritySetup;
  readonly #signatureKey: string | null;
  #restartOnError: boolean;
  #path = "";

  private constructor(kernel: Kernel, setup: VeritySetup) {
    this.#kernel = kernel;
    this.#setup = setup;
    this.#restartOnError = canRestartOnError(targetVersion(kernel));
    this.#signatureKey = this.#addSignature();
  }

  /**
   * Makes the device, in the mode `look`, and reads its first and last block through it. Throws SlotFailure where the kernel
   * finds that they are not the image's, {@link VerityUnavailable}, or KernelError; nothing is left then.
   */
  static create(kernel: Kernel, setup: VeritySetup): VerityDevice {
    requireControl(kernel);
    const device = new VerityDevice(kernel, setup);
    device.#do(createStep(setup.name, setup.manifest));
    try {
      device.#load("look");
      device.#resume();
      device.#readEnds();
      return device;
    } catch (error) {
      device.#removeIfPossible();
      throw error;
    }
  }

  /** "/dev/dm-0" */
  get path(): string {
    return this.#path;
  }

  /** What the kernel does where a block is bad, once the device is armed: "restart_on_corruption". */
  get options(): string[] {
    return verityOptions({ mode: "armed", restartOnError: this.#restartOnError, signatureKey: this.#signatureKey });
  }

  /** Whether the kernel has met a block that is not the image's. */
  isCorrupted(): boolean {
    const { parameters } = dmTarget(this.#ask(IOCTL.DM_TABLE_STATUS)) ?? { parameters: "nothing" };
    return !parameters.startsWith("V");
  }

  /** From here on a bad block restarts the machine. Throws SlotFailure where one was met before. */
  arm(): void {
    if (this.isCorrupted()) throw new SlotFailure("proof", CORRUPTED);
    try {
      this.#load("armed");
    } catch (error) {
      if (!this.#restartOnError || !(error instanceof KernelError) || error.code !== "EINVAL") throw error;
      this.#restartOnError = false;
      this.#load("armed");
    }
    this.#resume();
  }

  /** Takes the device away; where something still holds it, as soon as that lets go. */
  remove(): void {
    this.#do(removeStep(this.#setup.name));
  }

  /** Something failed already, which is what there is to tell. */
  #removeIfPossible(): void {
    try {
      this.remove();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #ask(ioctl: number, request: DmRequest = { name: this.#setup.name }): Uint8Array {
    return ask(this.#kernel, ioctl, request);
  }

  #do({ call, request }: DmStep): Uint8Array {
    return this.#ask(IOCTL[call], request);
  }

  /** Puts the root hash's signature where the kernel looks for it. Returns the key's name; null where none is wanted. */
  #addSignature(): string | null {
    const { manifest, kernelSignature, name } = this.#setup;
    if (!kernelSignature || manifest.kernelSignature === null) return null;
    const key = signatureKeyName(name);
    try {
      this.#kernel.addKey(key, Uint8Array.fromBase64(manifest.kernelSignature));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      throw new VerityUnavailable(`the kernel takes no key to check the root hash's signature with (${error.code})`);
    }
    return key;
  }

  #load(mode: VerityMode): void {
    const { manifest, number: device } = this.#setup;
    const table = { device, manifest, mode, restartOnError: this.#restartOnError, signatureKey: this.#signatureKey };
    try {
      this.#do(loadStep(this.#setup.name, table));
    } catch (error) {
      throw error instanceof KernelError ? this.#loadFailure(error, mode) : error;
    }
  }

  #loadFailure(error: KernelError, mode: VerityMode): Error {
    const { code } = error;
    if (code === "ENOENT")
      return new VerityUnavailable("the kernel has no SHA-256 for dm-verity; is sha256_generic in the initrd?");
    if (this.#signatureKey === null || mode === "armed") return error;
    if (BAD_SIGNATURE.has(code)) {
      return new SlotFailure(
        "proof",
        `the kernel refuses the signature of the root hash (${code}); is its certificate built in?`,
      );
    }
    if (code !== "EINVAL") return error;
    return new VerityUnavailable(
      "the kernel cannot check signatures of root hashes (EINVAL); it needs CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG",
    );
  }

  #resume(): void {
    const number = dmDevice(this.#do(resumeStep(this.#setup.name)));
    this.#path = `/dev/dm-${number.minor}`;
    if (!exists(this.#kernel, this.#path)) this.#kernel.makeNode(this.#path, "block", 0o600, number);
  }

  #readEnds(): void {
    if (this.isCorrupted()) throw new SlotFailure("proof", CORRUPTED);
    const last = BigInt(this.#setup.manifest.filesystemSize - BLOCK);
    try {
      withOpen(this.#kernel, this.#path, O.RDONLY, (fd) => {
        for (const offset of [0n, last]) this.#kernel.read(fd, BLOCK, offset);
      });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (this.isCorrupted()) throw new SlotFailure("proof", CORRUPTED);
      throw error;
    }
  }
}

export const CORRUPTED = "the image differs from its hash tree (dm-verity); repair the slot, or install again";

/** Version of the kernel's dm-verity. */
export type VerityVersion = [major: number, minor: number, patch: number];

function ask(kernel: Kernel, ioctl: number, request: DmRequest): Uint8Array {
  const bytes = encodeDmRequest(request);
  withOpen(kernel, DM_CONTROL.path, O.RDONLY, (control) => kernel.ioctl(control, ioctl, bytes));
  return bytes;
}

function askVersion(kernel: Kernel): VerityVersion {
  return dmTargetVersion(ask(kernel, IOCTL.DM_GET_TARGET_VERSION, { name: "verity" }));
}

function targetVersion(kernel: Kernel): VerityVersion {
  try {
    return askVersion(kernel);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.code === "ENOTTY") return [1, 0, 0]; // Linux before 5.4, which has the target or refuses the table
    throw new VerityUnavailable(`the kernel has no dm-verity (${error.code}); is the dm_verity module in the initrd?`);
  }
}

/** Version of the dm-verity of the kernel that runs; null where it has none, or did not load it yet. Changes nothing. */
export function verityVersion(kernel: Kernel): VerityVersion | null {
  try {
    return askVersion(kernel);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/** devtmpfs makes the node where device-mapper is there, or could be loaded. */
function requireControl(kernel: Kernel): void {
  const { path, number } = DM_CONTROL;
  try {
    if (!exists(kernel, path)) {
      makeDirectories(kernel, path.slice(0, path.lastIndexOf("/")));
      kernel.makeNode(path, "character", 0o600, number);
    }
    withOpen(kernel, path, O.RDONLY, () => {});
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new VerityUnavailable(`the kernel has no device-mapper (${path}: ${error.code}); is the dm_mod module in the initrd?`);
  }
}
