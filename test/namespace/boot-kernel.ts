/** A boot on the real kernel whose log and sysctls are not the machine's. */
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { O } from "../../init/kernel/constants.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { sampleControl } from "../samples/control-file.ts";
import { kernel, scratch } from "./state-machine.ts";

/** What the boot logs. */
export const kmsg = `${scratch}/kmsg`;

/** The real kernel with a log of its own, and without /proc/sys. */
export function bootKernel(): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        const [path] = args;
        if (name === "open" && path === "/dev/kmsg") return target.open(kmsg, O.WRONLY | O.CREAT | O.APPEND, { mode: 0o600 });
        if (name === "open" && typeof path === "string" && path.startsWith("/proc/sys/"))
          throw new KernelError("openat2", path, "ENOENT");
        return Reflect.apply(method, target, args);
      };
    },
  });
}

/** A boot with the sample control file, changed. */
export function launchWith(change: Partial<ControlFile>, on = bootKernel(), words = ""): Launch {
  return new Launch(on, new Log(on), { ...sampleControl(change), digest: "" }, parseCommandLine(words));
}
