/** The executable's entry: PID 1 of an initrd boots, anything else is the command line. */

/** For the timeline; the kernel's own clock can be asked only much later. */
const firstLineNs = Bun.nanoseconds();

/**
 * preinit sets this variable in an environment of its own, so that no word of the kernel's command line can. The rest of
 * the test (initrd-release, a root in memory) is done before anything is touched: see sequence/pid1.ts.
 */
if (process.pid === 1 && process.env.SLIPWAY_PREINIT !== undefined) {
  import("./sequence/pid1.ts").then(({ runAsPid1 }) => runAsPid1(firstLineNs));
} else {
  import("./command-line.ts").then(async ({ commandLine }) => {
    process.exitCode = await commandLine(process.argv.slice(2));
  });
}
