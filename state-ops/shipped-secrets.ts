/** Secrets that an image has for all devices alike. Where identity state begins with them they are errors (seed-content.ts). */
import type { Operator } from "./control.ts";
import type { ImageTree } from "./image-tree.ts";
import { rulingOperator } from "./operator-tree.ts";
import type { Problem } from "./schema/document.ts";
import { isKeyFile, isMachineId } from "./seed-content.ts";

const fragments = "usr/share/slipway/fragments/openssh-server.yaml, usr/share/slipway/state.d/machine-id.yaml";

/** A warning for each, at the image's file. */
export function shippedSecrets(operators: readonly Operator[], image: ImageTree): Problem[] {
  return [...image.files("/etc/ssh"), ...image.files("/etc/machine-id")].flatMap((file) => {
    const isId = file.kind === "file" && isMachineId(file.path, file.head());
    if ((!isId && !isKeyFile(file)) || rulingOperator(operators, file.path)?.state === "identity") return [];
    const text = `all devices with this image would have this ${isId ? "machine id" : "private key"}; take it out of the image, and have it made on the device as identity state (${fragments})`;
    return [{ file: image.place(file.path), line: 1, column: 1, text }];
  });
}
