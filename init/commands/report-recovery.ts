import { sourceUrl } from "../../boot/network/source-url.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { proxiesToTry } from "../../state-ops/proxy-url.ts";
import { SourceError } from "../converge/source.ts";
import { exists, readText } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import type { NetworkContext } from "../network/context.ts";
import { SETTINGS_FILE, SOURCE_FLAGS, SOURCE_HELP, sourceOptions } from "../network/options.ts";
import { postJson } from "../network/post.ts";
import { PLACES, type Places } from "./machine.ts";
import { type Reporting, readReporting } from "./read-facts.ts";
import { flag, type OptionValues, type Verb } from "./verb.ts";

/** Pauses between two rounds of attempts, seconds: they double. */
const SHORTEST_PAUSE = 30;
const LONGEST_PAUSE = 3600;

/** Where things are, and what tests replace. */
export interface ReportPlaces extends Pick<Places, "control" | "recoveryReport"> {
  settings?: string;
}

/**
 * Posts the report that PID 1 left, and removes it. Returns where it went.
 *
 * @throws Refusal where there is none, or nobody to be told; BadInput for options; SourceError where nobody takes it
 */
export async function reportRecovery(
  kernel: Kernel,
  places: ReportPlaces,
  values: OptionValues,
  context: NetworkContext = {},
): Promise<string> {
  const text = readRun(kernel, places.recoveryReport, "no recovery waits to be reported");
  const { report: url, authorities, proxy } = readReportingIn(kernel, places.control);
  if (url === null) throw new Refusal(`the control file names nobody to be told of a recovery: recovery: report: in system.yaml`);
  const options = sourceOptions(kernel, values, url, places.settings ?? SETTINGS_FILE);
  let trouble: SourceError | null = null;
  for (const through of options.proxy === null ? proxiesToTry(null, proxy) : [options.proxy]) {
    try {
      await postJson(url, { ...options, proxy: through }, text, { kernel, authorities, ...context });
      kernel.remove(places.recoveryReport);
      return sourceUrl(url).name;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      trouble ??= error;
    }
  }
  throw trouble ?? new SourceError(`${sourceUrl(url).name} was not asked`);
}

/**
 * Does the same until the report was taken, or is gone. `failed` is told why it was not taken and when it is tried again.
 *
 * @param random from 0 to 1: machines that failed together shall not come back together
 */
export async function reportUntilTaken(
  kernel: Kernel,
  places: ReportPlaces,
  values: OptionValues,
  failed: (line: string) => void,
  sleep: (ms: number) => Promise<void> = (ms) => Bun.sleep(ms),
  random: () => number = Math.random,
  context: NetworkContext = {},
): Promise<string | null> {
  for (let pause = SHORTEST_PAUSE; exists(kernel, places.recoveryReport); pause = Math.min(LONGEST_PAUSE, pause * 2)) {
    try {
      return await reportRecovery(kernel, places, values, context);
    } catch (error) {
      // also options that are wrong: somebody may put them right meanwhile
      const seconds = Math.round(pause * (0.5 + random() / 2));
      failed(`${error instanceof Error ? error.message : error}; trying again in ${seconds} s`);
      await sleep(seconds * 1000);
    }
  }
  return null;
}

function readReportingIn(kernel: Kernel, path: string): Reporting {
  try {
    return readReporting(readRun(kernel, path, "this machine was not booted by slipway"));
  } catch (error) {
    if (error instanceof Refusal || error instanceof BadInput) throw error;
    throw new Refusal(
      `${path}: ${error instanceof Error ? error.message : error}; are initrd and image too far apart in version?`,
    );
  }
}

function readRun(kernel: Kernel, path: string, without: string): string {
  try {
    return readText(kernel, path);
  } catch (error) {
    if (error instanceof KernelError) throw new Refusal(`${without}: ${path} cannot be read (${error.code})`);
    throw error;
  }
}

export const verb: Verb = {
  help: `
Usage: slipway report-recovery [OPTION]…

Run by slipway-recovery-report.service where a recovery led to this boot and PID 1 could not report it: posts
${PLACES.recoveryReport} to the URL that the control file names (recovery: report: in system.yaml), as the machine that it is:
with what ${SETTINGS_FILE} has for that server, a token among it. The report is removed once any 2xx took it.

Without a ca of that file, the authorities of the control file vouch for the server; without a proxy of it, the control
file's is tried first, and then none.

Options:
  --until-taken       try again until it is taken, after pauses that grow up to an hour

${SOURCE_HELP}`,
  options: { ...SOURCE_FLAGS, "until-taken": { type: "boolean" } },
  positionals: [],
  async run(values) {
    const kernel = linuxKernel();
    const taker = flag(values, "until-taken")
      ? await reportUntilTaken(kernel, PLACES, values, (line) => console.error(`slipway: ${line}`))
      : await reportRecovery(kernel, PLACES, values);
    console.log(taker === null ? "slipway: no recovery waits to be reported" : `slipway: the recovery was reported to ${taker}`);
    return 0;
  },
};
