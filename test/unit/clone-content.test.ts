import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { ContentCopier } from "../../init/state/clone-content.ts";
import { WriteBack } from "../../init/state/write-back.ts";

const MiB = 1024 * 1024;

/** How often 72 MiB in six files, each of a store of its own, are made durable on a disk that needs `syncMs` for it. */
function syncs(syncMs: number): number | undefined {
  const kernel = new RecordingKernel({ initramfs: { from: new Uint8Array(12 * MiB).fill(1) } });
  kernel.failOn({ call: "ioctl", match: /FICLONE/, code: "EOPNOTSUPP" });
  let clock = 0;
  const { now, syncFilesystem } = kernel;
  kernel.now = () => ({ ...now.call(kernel), bootMs: clock });
  kernel.syncFilesystem = (fd) => {
    syncFilesystem.call(kernel, fd);
    clock += syncMs;
  };
  kernel.beginTrace();
  let progress = 0;
  const onBytes = (bytes: number): void => {
    progress += bytes;
  };
  const writeBack = new WriteBack(kernel);
  for (const name of ["/one", "/two", "/three", "/four", "/five", "/six"]) {
    withOpen(kernel, "/from", O.RDONLY, (from) =>
      withOpen(kernel, name, O.RDWR | O.CREAT, (to) => {
        new ContentCopier(kernel, onBytes, writeBack).copy(from, to, BigInt(12 * MiB));
      }),
    );
  }
  assert.is(progress, 72 * MiB);
  return kernel.trace.match(/^syncfs/gm)?.length;
}

test("what a copy leaves in memory is bounded over all files and stores, so that no sync outlasts the watchdog", () => {
  assert.is(syncs(2000), 2);
  assert.is(syncs(10_000), 2, "never less than 32 MiB");
  assert.is(syncs(100), 1, "a quick disk gets more at once");
});

test.run();
