import { lstatSync, readdirSync, type Stats } from "node:fs";
import { BadInput } from "../../../state-ops/outcome.ts";
import { reasonOf } from "../input.ts";

export interface TreeFacts {
  /** The greatest modification time of all that is in the tree, in whole seconds since the epoch, rounded up. */
  youngest: number;
  /** Files, directories and everything else. */
  entries: number;
}

/**
 * Looks at all of the tree at `root`; `what` names it. Names are bytes, which need not be UTF-8.
 *
 * @throws BadInput where something is mounted in it, which would become a part of the image, or something cannot be read
 */
export function treeFacts(what: string, root: string): TreeFacts {
  const facts: TreeFacts = { youngest: 0, entries: 0 };
  const look = (path: Buffer): Stats => {
    const stats = readable(path, () => lstatSync(path));
    facts.youngest = Math.max(facts.youngest, Math.ceil(stats.mtimeMs / 1000));
    facts.entries++;
    return stats;
  };
  const readable = <Result>(path: Buffer, work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw new BadInput(`${what}: ${path} cannot be read: ${reasonOf(error)}; run this as who made the tree`);
    }
  };
  const walk = (directory: Buffer, device: number): void => {
    for (const name of readable(directory, () => readdirSync(directory, { encoding: "buffer" }))) {
      const path = Buffer.concat([directory, Buffer.from("/"), name]);
      const stats = look(path);
      if (stats.dev !== device) throw new BadInput(`${what}: something is mounted at ${path}; unmount it first`);
      if (stats.isDirectory()) walk(path, device);
    }
  };
  const top = Buffer.from(root);
  walk(top, look(top).dev);
  return facts;
}
