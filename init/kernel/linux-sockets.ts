/** Sockets, over system calls. */
import { AF, NETLINK, O, SO, SOCK, SOL } from "./constants.ts";
import { errnoName } from "./errno.ts";
import { type Descriptor, KernelError } from "./kernel.ts";
import { LinuxFiles, subjectOf } from "./linux-files.ts";
import { addressOf, call, type Memory, memory, rawCall } from "./syscall.ts";

/** Messages that wait are taken without waiting, and what is no room for is said at once. */
const MSG_DONTWAIT = 0x40;

/** A copy that the kernel can be given the address of. */
function copied(bytes: Uint8Array): Memory {
  const copy = memory(bytes.length);
  copy.set(bytes);
  return copy;
}

/** The calls of {@link Kernel} that deal with sockets. */
export class LinuxSockets extends LinuxFiles {
  openSocket(family: number, type: number, protocol: number): Descriptor {
    return call("socket", `family ${family}`, family, type | O.CLOEXEC | O.NONBLOCK, protocol);
  }
  bindSocket(fd: Descriptor, address: Uint8Array): void {
    call("bind", subjectOf(fd), fd, copied(address), address.length);
  }
  setSocketOption(fd: Descriptor, level: number, option: number, value: Uint8Array): void {
    call("setsockopt", `${subjectOf(fd)} option ${option}`, fd, level, option, copied(value), value.length);
  }
  filterSocket(fd: Descriptor, program: Uint8Array): void {
    const instructions = copied(program);
    // struct sock_fprog: count, padding, address of the instructions.
    const filter = memory(16);
    const view = new DataView(filter.buffer);
    view.setUint16(0, program.length / 8, true);
    view.setBigUint64(8, addressOf(instructions), true);
    call("setsockopt", `${subjectOf(fd)} filter`, fd, SOL.SOCKET, SO.ATTACH_FILTER, filter, filter.length);
    // Used here so that the collector cannot have taken them before.
    if (instructions.length !== program.length) throw new KernelError("setsockopt", subjectOf(fd), "EINVAL");
  }
  sendTo(fd: Descriptor, bytes: Uint8Array, address: Uint8Array | null): void {
    const to = address === null ? null : copied(address);
    call("sendto", subjectOf(fd), fd, copied(bytes), bytes.length, MSG_DONTWAIT, to, to?.length ?? 0);
  }
  receive(fd: Descriptor, length: number): Uint8Array<ArrayBuffer> | null {
    const bytes = memory(length);
    for (;;) {
      const result = rawCall("recvfrom", fd, bytes, length, MSG_DONTWAIT, null, null);
      if (result >= 0) return bytes.subarray(0, result);
      const code = errnoName(-result);
      if (code === "EAGAIN") return null;
      if (code !== "EINTR") throw new KernelError("recvfrom", subjectOf(fd), code);
    }
  }
  openUevents(): Descriptor {
    const fd = this.openSocket(AF.NETLINK, SOCK.DGRAM, NETLINK.KOBJECT_UEVENT);
    // struct sockaddr_nl: family, padding, pid 0, groups: bit 0 is the kernel's own messages.
    const address = memory(12);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF.NETLINK, true);
    view.setUint32(8, 1, true);
    try {
      this.bindSocket(fd, address);
    } catch (error) {
      this.close(fd);
      throw error;
    }
    return fd;
  }
}
