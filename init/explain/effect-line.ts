import { DM_CONTROL } from "../../boot/image/device-mapper.ts";
import { RUN } from "../../boot/report.ts";
import { MERGE_REPORT } from "../../state-ops/merge/report.ts";
import {
  contents,
  deviceMapperText,
  environmentText,
  listText,
  mountFlags,
  octal,
  quote,
  unmountFlags,
} from "../kernel/recording/trace.ts";
import type { Effect } from "./plan-shape.ts";
import { recordText } from "./record-text.ts";

/** Files whose text says nothing that the plan does not. */
const KNOWN_FILES: Record<string, string> = {
  [RUN.report]: "how and why this boot came about",
  [RUN.control]: "the initrd's control file",
  [MERGE_REPORT]: "what was merged",
};

/** An effect as strace would show the call, like a line of a golden trace. */
export function effectLine(effect: Effect): string {
  switch (effect.do) {
    case "set-clock":
      return `set-clock(${new Date(effect.unixMs).toISOString()})`;
    case "watchdog":
      return `ioctl("/dev/watchdog", WDIOC_SETTIMEOUT, [${effect.timeout}])`;
    case "record": {
      const { device, sequence, offset, record } = effect;
      return `write(${quote(device)}, record ${sequence}: ${recordText(record)}, at 0x${offset.toString(16)})`;
    }
    case "set-read-only":
      return `ioctl(${quote(effect.device)}, BLKROSET, [${effect.readOnly ? 1 : 0}])`;
    case "attach":
      return `ioctl(${quote(effect.device)}, LOOP_CONFIGURE, ${quote(effect.file)}, READ_ONLY|AUTOCLEAR|DIRECT_IO)`;
    case "device-mapper":
      return `ioctl(${quote(DM_CONTROL.path)}, ${effect.call}, ${deviceMapperText(effect.request)})`;
    case "add-key":
      return `add-key(${quote(effect.name)}, ${effect.length} bytes)`;
    case "mount": {
      const { source, target, type, flags, data } = effect;
      return `mount(${quote(source)}, ${quote(target)}, ${quote(type)}, ${mountFlags(flags)}, ${quote(data)})`;
    }
    case "unmount":
      return `umount(${quote(effect.target)}, ${unmountFlags(effect.flags)})`;
    case "make-directory":
      return `mkdir(${quote(effect.path)}, ${octal(0o755)})`;
    case "rename":
      return `rename(${quote(effect.from)}, ${quote(effect.to)}${effect.exclusive ? ", NOREPLACE" : ""})`;
    case "write":
      return `write(${quote(effect.path)}, ${KNOWN_FILES[effect.path] ?? contents(Buffer.from(effect.text))})`;
    case "change-root":
      return 'chroot(".")';
    case "execute":
      return `exec(${quote(effect.program)}, ${listText(effect.args)}, ${environmentText(effect.environment)})`;
    case "restart":
      return 'reboot("restart")';
  }
}
