/** An image's .idx: what a device needs to know which blocks it lacks, for servers without ranges, pipes and uploads. */
import { BadInput } from "../../../state-ops/outcome.ts";
import { readSeal } from "../../image/read-seal.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { regularFile } from "../input.ts";
import { checkOutput, replaceFile } from "../output.ts";

const PIECE = 1024 * 1024;

/**
 * Writes the .idx of `image`: its bytes from the verity superblock to its end. `output` is the old or the new whatever happens.
 *
 * @returns bytes of the .idx
 * @throws BadInput where `image` is no sealed image with a footer at its end
 */
export async function writeIndex(image: string, output: string): Promise<number> {
  const kernel = linuxKernel();
  const size = BigInt(regularFile(image, image).size);
  const path = checkOutput(output);
  const start = withOpen(kernel, image, O.RDONLY, (fd) => {
    const reading = readSeal(kernel, fd, size);
    if (reading.is !== "sealed") throw new BadInput(`${image} is no sealed image: ${reading.reason}`);
    if (reading.by !== "footer") throw new BadInput(`${image} has no footer at its end; seal it with slipway image seal`);
    return BigInt(reading.layout.hashOffset);
  });
  await replaceFile(path, (file) =>
    withOpen(kernel, image, O.RDONLY, (from) =>
      withOpen(
        kernel,
        file,
        O.WRONLY | O.CREAT | O.EXCL,
        (to) => {
          for (let at = start; at < size; at += BigInt(PIECE)) kernel.write(to, kernel.read(from, PIECE, at), at - start);
        },
        { mode: 0o644 },
      ),
    ),
  );
  return Number(size - start);
}
