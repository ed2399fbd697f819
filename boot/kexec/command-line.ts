/** Command lines for a kernel that is started by another one. */

/** Words of the loader that tell of the kernel it loaded, and ours for the second stage. */
const OF_THE_KERNEL = ["BOOT_IMAGE", "initrd", "slipway.kexec"];

/** Words by which a loader chose for one boot. */
const OF_THE_BOOT = ["slipway.slot", "rauc.slot", "slipway.nonce"];

/** Seconds from a panic to the restart: until PID 1 says so itself, the kernel that is started would stand still for ever. */
const PANIC = "panic=10";

/** Words as the kernel splits them, with their quotes: blanks within double quotes belong to a word. */
function rawWords(text: string): string[] {
  return text.match(/(?:"[^"]*(?:"|$)|[^\s"])+/g) ?? [];
}

function nameOf(word: string): string {
  return /^"?([^="]*)/.exec(word)?.[1] ?? "";
}

function changed(text: string, without: readonly string[], added: readonly string[]): string {
  const words = rawWords(text);
  const dashes = words.indexOf("--");
  const [before, after] = dashes < 0 ? [words, []] : [words.slice(0, dashes), words.slice(dashes)];
  const kept = before.filter((word) => !without.includes(nameOf(word)));
  const panic = kept.some((word) => nameOf(word) === "panic") ? [] : [PANIC];
  return [...kept, ...panic, ...added, ...after].join(" ");
}

/** For the second stage of a boot that has the command line `text`: the same, and the attempt's nonce. */
export function secondStageLine(text: string, nonce: string): string {
  return changed(text, OF_THE_KERNEL, [`slipway.kexec=${nonce}`]);
}

/** For a new boot of `slot`, from a system that was booted with the command line `text`. */
export function newBootLine(text: string, slot: string): string {
  return changed(text, [...OF_THE_KERNEL, ...OF_THE_BOOT], [`slipway.slot=${slot}`]);
}
