/** Runs {@link dhcpAnswers} on a link: `bun dhcp-server-process.ts INDEX JSON`, in the server's network namespace. */
import { AF, SOCK } from "../../init/kernel/constants.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { type DhcpAnswers, dhcpAnswers } from "./dhcp-server.ts";

const kernel = linuxKernel();
const [index = "0", hardware = "", json = "{}"] = process.argv.slice(2);
const how: DhcpAnswers = JSON.parse(json);
const answers = dhcpAnswers(
  how,
  Uint8Array.from(hardware.split(":"), (byte) => Number.parseInt(byte, 16)),
);
const fd = kernel.openSocket(AF.PACKET, SOCK.RAW, 0);
const address = new Uint8Array(20);
const view = new DataView(address.buffer);
view.setUint16(0, AF.PACKET, true);
view.setUint16(2, 0x0800, false);
view.setInt32(4, Number(index), true);
kernel.bindSocket(fd, address);
console.log("ready");
setInterval(() => {
  for (let bytes = kernel.receive(fd, 4096); bytes !== null; bytes = kernel.receive(fd, 4096)) {
    for (const frame of answers(bytes)) kernel.sendTo(fd, frame, null);
  }
}, 5);
