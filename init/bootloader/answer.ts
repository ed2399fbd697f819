/** What a verb about bootloaders has to say. */
export interface BootloaderAnswer {
  /** Whether anything is different from before. */
  changed: boolean;
  /** What changed, a sentence each. */
  did: string[];
  /** What does not stand in the way but should be known. */
  warnings: string[];
  /** What to do next, one sentence. */
  next: string;
}

/** Prints it: as sentences, or as one line of JSON. */
export function printAnswer(answer: BootloaderAnswer, json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ schema: 1, ...answer }));
    return;
  }
  for (const line of answer.did) console.log(line);
  for (const warning of answer.warnings) console.error(`Warning: ${warning}`);
  console.log(`Next: ${answer.next}`);
}
