/** What PID 1 says, to the kernel's log and to the consoles. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { device as memoryDevice } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { showOnConsoles } from "../../init/sequence/console.ts";
import { Log } from "../../init/sequence/log.ts";

test("a name on a disk cannot speak to the terminal that a reason is shown on", () => {
  const kernel = new RecordingKernel();
  kernel.plant("/dev", { kmsg: memoryDevice("character", 1, 11), console: memoryDevice("character", 5, 1) });
  kernel.beginTrace();
  new Log(kernel).error("clone ./\x1b]0;x\x07\x9b2J: \nEIO");
  showOnConsoles(kernel, "\nslot a: ./\x1b[2J\r\x9b2J: EIO\n");
  assert.match(kernel.trace, 'write("/dev/kmsg", "<3>slipway: clone ./ ]0;x  2J:  EIO\\n")');
  assert.match(kernel.trace, 'write("/dev/console", "\\nslot a: ./ [2J  2J: EIO\\n")');
});

test.run();
