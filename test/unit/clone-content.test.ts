import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { ContentCopier } from "../../init/state/clone-content.ts";

const MiB = 1024 * 1024;

test("what a copy leaves in memory is bounded over all files, so that no sync outlasts the watchdog", () => {
  const kernel = new RecordingKernel({ initramfs: { from: new Uint8Array(12 * MiB).fill(1) } });
  kernel.failOn({ call: "ioctl", match: /FICLONE/, code: "EOPNOTSUPP" });
  kernel.beginTrace();
  let progress = 0;
  const copier = new ContentCopier(kernel, (bytes) => {
    progress += bytes;
  });
  for (const name of ["/one", "/two", "/three", "/four", "/five", "/six"]) {
    withOpen(kernel, "/from", O.RDONLY, (from) =>
      withOpen(kernel, name, O.RDWR | O.CREAT, (to) => copier.copy(from, to, BigInt(12 * MiB))),
    );
  }
  assert.is(progress, 72 * MiB);
  assert.is(kernel.trace.match(/^syncfs/gm)?.length, 2);
});

test.run();
