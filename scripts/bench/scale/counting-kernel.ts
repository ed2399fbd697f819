import type { Kernel } from "../../../init/kernel/kernel.ts";

/** A kernel that counts its calls. What its methods call among themselves is not counted. */
export function countingKernel(kernel: Kernel): { kernel: Kernel; calls: () => number } {
  let calls = 0;
  const counting = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...words: unknown[]): unknown => {
        calls++;
        return Reflect.apply(method, target, words);
      };
    },
  });
  return { kernel: counting, calls: () => calls };
}
