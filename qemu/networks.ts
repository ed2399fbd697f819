/** Network cards of a machine, and what is behind them. */

export interface NetworkCard {
  /** Default "virtio-net-pci". */
  model?: "virtio-net-pci" | "e1000" | "e1000e" | "rtl8139" | "usb-net";
  /**
   * `user`: QEMU's own NAT with DHCP, name server and router advertisements, in which the host's 127.0.0.1 is 10.0.2.2 and its
   * ::1 is fec0::2. `walled`: the same, and nothing goes beyond it. `nobody`: a cable to a switch on which nobody answers. Default
   * "user".
   */
  behind?: "user" | "walled" | "nobody";
  /** Families that QEMU's NAT speaks. Default both. */
  families?: ("ipv4" | "ipv6")[];
  /** Default: one that QEMU gives. */
  hardware?: string;
  /** Ports of the host's 127.0.0.1 that lead to ports of the guest, behind "user". */
  forwards?: readonly { host: number; guest: number }[];
}

/** QEMU's words for `cards`, in order. */
export function networkWords(cards: readonly NetworkCard[]): string[] {
  const usb = cards.some(({ model }) => model === "usb-net") ? ["-device", "qemu-xhci,id=net-usb"] : [];
  return [...usb, ...cards.flatMap(cardWords)];
}

function cardWords(card: NetworkCard, index: number): string[] {
  const { model = "virtio-net-pci", behind = "user", families, hardware, forwards = [] } = card;
  const id = `net${index}`;
  const spoken = families === undefined ? "" : `,ipv4=${onOff(families, "ipv4")},ipv6=${onOff(families, "ipv6")}`;
  const led = forwards.map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join("");
  const walled = behind === "walled" ? ",restrict=on" : "";
  const backend = behind === "nobody" ? `hubport,id=${id},hubid=${index}` : `user,id=${id}${spoken}${led}${walled}`;
  const address = hardware === undefined ? "" : `,mac=${hardware}`;
  const bus = model === "usb-net" ? ",bus=net-usb.0" : "";
  // Without an option ROM: nobody boots from the network.
  const rom = model === "usb-net" ? "" : ",romfile=";
  return ["-netdev", backend, "-device", `${model},netdev=${id}${address}${bus}${rom}`];
}

function onOff(families: readonly string[], family: string): string {
  return families.includes(family) ? "on" : "off";
}
