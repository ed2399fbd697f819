import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** A message of the kernel about a device: lib/kobject_uevent.c. */
export interface Uevent {
  /** "add", "remove", "change", "bind", … */
  action: string;
  /** Path below /sys: "/devices/…/block/vda". */
  devpath: string;
  /** "block", "pci", …; "" where the message has none. */
  subsystem: string;
  /** What would drive the device: "virtio:d00000002v00001AF4"; null: the device asks for nothing. */
  modalias: string | null;
  /** Node below /dev: "vda2"; null: the device has none. */
  devname: string | null;
}

/** Longest message: the kernel's are at most UEVENT_BUFFER_SIZE (2048) and a header. */
const MESSAGE_BYTES = 8192;

/** `add@/devices/…` and `NAME=value` fields, each ended by a zero byte. Null for anything else, such as udev's own messages. */
export function parseUevent(message: Uint8Array): Uevent | null {
  const [header = "", ...fields] = new TextDecoder().decode(message).split("\0");
  const at = header.indexOf("@/");
  if (at <= 0) return null;
  const values = new Map<string, string>();
  for (const field of fields) {
    const equals = field.indexOf("=");
    if (equals > 0) values.set(field.slice(0, equals), field.slice(equals + 1));
  }
  return {
    action: values.get("ACTION") ?? header.slice(0, at),
    devpath: values.get("DEVPATH") ?? header.slice(at + 1),
    subsystem: values.get("SUBSYSTEM") ?? "",
    modalias: values.get("MODALIAS") ?? null,
    devname: values.get("DEVNAME") ?? null,
  };
}

/** Messages that waited. `lost`: the kernel had to drop some, so that only looking again tells what happened. */
export interface Uevents {
  uevents: Uevent[];
  lost: boolean;
}

/** All messages that wait on `socket`. */
export function drainUevents(kernel: Kernel, socket: Descriptor): Uevents {
  const uevents: Uevent[] = [];
  let lost = false;
  for (;;) {
    try {
      const message = kernel.read(socket, MESSAGE_BYTES, null);
      if (message.length === 0) return { uevents, lost };
      const uevent = parseUevent(message);
      if (uevent) uevents.push(uevent);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // Two names of one number.
      if (error.code === "EAGAIN" || error.code === "EWOULDBLOCK") return { uevents, lost };
      if (error.code !== "ENOBUFS") throw error;
      lost = true;
    }
  }
}
