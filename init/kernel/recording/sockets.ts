import { AF, NETLINK, O, SOCK } from "../constants.ts";
import type { Descriptor } from "../kernel.ts";
import { RecordingFiles } from "./files.ts";
import type { OpenFile } from "./memory-files.ts";
import { MemoryNetwork } from "./memory-network.ts";
import { Errno } from "./memory-nodes.ts";
import type { MemorySocket } from "./memory-sockets.ts";

const FAMILIES = Object.entries(AF);

/** The part of the recording kernel that deals with sockets: netlink to the machine's links, and packets that go through them. */
export abstract class RecordingSockets extends RecordingFiles {
  readonly #sockets = new Map<OpenFile, MemorySocket>();
  /** Links of the machine, what is connected to them, and what was set up on them. */
  readonly network = new MemoryNetwork((ms, event) => this.script.at(this.script.clocks.bootMs + ms, event));

  protected override place(fd: Descriptor): string {
    const open = this.machine.files.descriptors.get(fd);
    return (open && this.#sockets.get(open)?.name) ?? super.place(fd);
  }

  #socket(fd: Descriptor): MemorySocket {
    const socket = this.#sockets.get(this.machine.files.descriptor(fd));
    if (!socket) throw new Errno("ENOTSOCK");
    return socket;
  }

  /** Whether a message waits on the socket; null where it is none of these. */
  protected messageWaits(open: OpenFile): boolean | null {
    const socket = this.#sockets.get(open);
    return socket ? socket.waiting.length > 0 : null;
  }

  openSocket(family: number, type: number, protocol: number): Descriptor {
    const shown = FAMILIES.find(([, number]) => number === family)?.[0] ?? String(family);
    return this.run("openSocket", "socket", `family ${shown}`, [String(type), String(protocol)], false, () => {
      if (family === AF.NETLINK && protocol !== NETLINK.ROUTE) throw new Errno("EPROTONOSUPPORT");
      if (family === AF.PACKET && type !== SOCK.RAW) throw new Errno("ESOCKTNOSUPPORT");
      const socket = this.network.openSocket(family);
      const open: OpenFile = { place: null, node: null, flags: O.RDWR, offset: 0, storage: null, locked: false };
      this.#sockets.set(open, socket);
      return this.machine.files.addDescriptor(open);
    });
  }

  bindSocket(fd: Descriptor, address: Uint8Array): void {
    this.run("bindSocket", "bind", this.place(fd), [], false, () => this.#socket(fd).bind(address));
  }

  setSocketOption(fd: Descriptor, level: number, option: number, value: Uint8Array): void {
    const rest = [`${level}:${option}`, `${value.length} bytes`];
    this.run("setSocketOption", "setsockopt", this.place(fd), rest, false, () => void this.#socket(fd));
  }

  filterSocket(fd: Descriptor, program: Uint8Array): void {
    const rest = [`${program.length / 8} instructions`];
    this.run("filterSocket", "filter", this.place(fd), rest, false, () => void this.#socket(fd));
  }

  sendTo(fd: Descriptor, bytes: Uint8Array, address: Uint8Array | null): void {
    const open = this.machine.files.descriptors.get(fd);
    const socket = open && this.#sockets.get(open);
    const { text, effect } = socket?.describe(bytes) ?? { text: `${bytes.length} bytes`, effect: true };
    this.run("sendTo", "send", this.place(fd), [text], effect, () => this.#socket(fd).send(bytes, address));
  }

  receive(fd: Descriptor, length: number): Uint8Array<ArrayBuffer> | null {
    return this.run("receive", "receive", this.place(fd), [], false, () => {
      const message = this.#socket(fd).waiting.shift();
      return message ? Uint8Array.from(message.subarray(0, length)) : null;
    });
  }

  override close(fd: Descriptor): void {
    const open = this.machine.files.descriptors.get(fd);
    const socket = open && this.#sockets.get(open);
    super.close(fd);
    if (!socket || !open) return;
    this.#sockets.delete(open);
    this.network.closeSocket(socket);
  }
}
