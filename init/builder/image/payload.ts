import { PAYLOAD_TYPE, preAuthenticationEncoding } from "../../../boot/image/envelope.ts";
import { text, type Verb } from "../../commands/verb.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { checkOutput, replaceFile, writePieces } from "../output.ts";
import { withImage } from "./open-image.ts";

export const verb: Verb = {
  help: `Usage: slipway image payload FILE [-o OUT]

Prints the bytes of a system image (or of its .idx) that a key signs, to the last of them, so that the key can live in an HSM or
on another machine:

  slipway image payload FILE -o payload
  openssl pkeyutl -sign -rawin -inkey KEY.pem -in payload -out signature
  slipway image attach-signature FILE --signature signature --public-key KEY.pub.pem

They are the pre-authentication encoding that DSSE makes of the seal's manifest, and the same whoever signs.

Options:
  -o, --output OUT   write them to a file, instead of standard output`,
  options: { output: { type: "string", short: "o" } },
  positionals: ["FILE"],
  async run(values, [file = ""]) {
    const output = text(values, "output");
    const path = output === undefined ? null : checkOutput(output);
    const payload = await withImage(linuxKernel(), file, ({ seal }) => seal.envelope.payload);
    const bytes = preAuthenticationEncoding(PAYLOAD_TYPE.seal, payload);
    if (path === null) await Bun.write(Bun.stdout, bytes);
    else await replaceFile(path, (scratch) => writePieces(scratch, [bytes]));
    return 0;
  },
};
