import { formatPin, GENERATION, generationPath, type Pin } from "../../state-ops/layout.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { exists, removeIfThere, replaceFile, withDirectory } from "./beneath.ts";

/**
 * Marks a generation as one that is never collected unasked, and makes that durable. One that is pinned keeps its reason, unless
 * a recovery sets it aside.
 */
export function pinGeneration(kernel: Kernel, data: Descriptor, number: number, pin: Pin): void {
  withGeneration(kernel, data, number, (generation) => {
    if (pin.by !== undefined || !exists(kernel, generation, GENERATION.pinned)) {
      replaceFile(kernel, generation, GENERATION.pinned, formatPin(pin), 0o600);
    }
  });
}

/** Takes the mark away: the generation is a slot's own again. */
export function unpinGeneration(kernel: Kernel, data: Descriptor, number: number): void {
  withGeneration(kernel, data, number, (generation) => {
    removeIfThere(kernel, generation, GENERATION.pinned);
    kernel.sync(generation);
  });
}

/** Takes the mark away that a recovery made the generation: its system was committed. */
export function confirmGeneration(kernel: Kernel, data: Descriptor, number: number): void {
  withGeneration(kernel, data, number, (generation) => {
    removeIfThere(kernel, generation, GENERATION.standIn);
    kernel.sync(generation);
  });
}

function withGeneration(kernel: Kernel, data: Descriptor, number: number, use: (generation: Descriptor) => void): void {
  withDirectory(kernel, data, generationPath(number), use);
}
