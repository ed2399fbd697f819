/** Orders: shell lines for the root that comes up, on its second disk, so that one image does something else in each boot. */
import { writeFileSync } from "node:fs";
import { throwAwayCopy } from "../../../qemu/disks.ts";

/** What the script of an image that takes orders has in it. */
export const takeOrders = `if [ -b /dev/vdb ]; then tr -d '\\000' </dev/vdb >/run/orders; . /run/orders; fi
`;

/** The second disk's file, as long as this process lives. */
export function ordersFile(...lines: string[]): string {
  const orders = `${lines.join("\n")}\n`;
  const file = throwAwayCopy("/dev/null");
  writeFileSync(file, Buffer.alloc(4096).fill(orders, 0, orders.length));
  return file;
}
