/** One path's decision: the table of what follows from who changed it. Directories' children are not looked at here. */
import type { MergeRule } from "../control.ts";
import { type Entry, sameContent, sameEntry, sameMetadata } from "./tree.ts";

/** Where an entry's mode, owner, group and attributes come from. */
export type MetadataFrom = "image" | "state";

/**
 * `none`: there is nothing to do and nothing to tell. `absent`: stays deleted. `contested`: both sides changed it, so the
 * rule decided, and `loser` is what is kept aside (null where nothing of it would be lost).
 */
export type Decision =
  | { do: "none" }
  | { do: "take-image"; metadata: MetadataFrom; contested: boolean; loser: "state" | null; why: string }
  | { do: "keep" | "absent"; contested: boolean; loser: "image" | null; why: string }
  | { do: "delete"; why: string }
  | { do: "conflict"; why: string };

/** The decision on a path where neither the state nor the image has a directory; the baseline may have had one. */
export function decideLeaf(base: Entry | null, state: Entry | null, image: Entry | null, rule: MergeRule): Decision {
  if (sameEntry(state, image)) return { do: "none" };
  if (image === null) return decideRemoved(base, state);
  if (state === null) return decideMissing(base, image, rule);
  if (sameEntry(state, base)) return take("unmodified here, changed in the image");
  if (sameEntry(image, base)) return keep("changed here, not in the image");
  if (sameContent(state, image)) return decideMetadata(base, rule, keep);
  if (base !== null && state.type === "file" && image.type === "file" && sameContent(state, base)) {
    const content = "only mode, owner or attributes changed here, the content in the image";
    if (sameMetadata(image, state)) return take("mode, owner or attributes changed alike, the content in the image");
    if (sameMetadata(image, base)) return take(content, "state");
    return decideMetadata(base, rule, (why, contested) => ({ ...take(`${content}; ${why}`, "state"), contested }));
  }
  return contest(base === null ? "added here and in the image" : "changed here and in the image", rule);
}

/** The decision on the mode, owner, group and attributes of what is a directory on both sides. */
export function decideDirectory(base: Entry | null, state: Entry, image: Entry, rule: MergeRule): Decision {
  if (sameMetadata(state, image)) return { do: "none" };
  const known = base?.type === "directory" ? base : null;
  if (known !== null && sameMetadata(state, known))
    return take("mode, owner or attributes unmodified here, changed in the image");
  if (known !== null && sameMetadata(image, known)) return keep("mode, owner or attributes changed here, not in the image");
  return decideMetadata(known, rule, keep);
}

/** Whose mode, owner, group and attributes a file gets that is merged by line: the state's, unless only the image changed them. */
export function metadataOfMerged(base: Entry | null, state: Entry | null, image: Entry): MetadataFrom {
  if (state === null || sameMetadata(state, image)) return "image";
  return base !== null && sameMetadata(state, base) ? "image" : "state";
}

/** What the rule says of a path that both sides changed. */
export function contest(why: string, rule: MergeRule): Decision {
  if (rule === "fail") return { do: "conflict", why };
  if (rule === "image") {
    return { do: "take-image", metadata: "image", contested: true, loser: "state", why: `${why}: the image wins` };
  }
  return { do: "keep", contested: true, loser: "image", why: `${why}: the local one wins` };
}

/** What the rule says of a path that was deleted here and changed in the image, which keeps its own. */
export function contestDeleted(rule: MergeRule): Decision {
  const why = "deleted here, changed in the image";
  if (rule === "fail") return { do: "conflict", why };
  if (rule === "image") return { ...take(`${why}: the image wins`), contested: true };
  return { do: "absent", contested: true, loser: null, why: `${why}: stays deleted` };
}

function decideRemoved(base: Entry | null, state: Entry | null): Decision {
  if (base === null || state === null) return { do: "none" };
  if (sameEntry(state, base)) return { do: "delete", why: "unmodified here, removed from the image" };
  return { do: "keep", contested: true, loser: null, why: "changed here, removed from the image: kept" };
}

function decideMissing(base: Entry | null, image: Entry, rule: MergeRule): Decision {
  if (base === null) return take("new in the image");
  if (!sameEntry(image, base)) return contestDeleted(rule);
  return { do: "absent", contested: false, loser: null, why: "deleted here, not changed in the image" };
}

/** Both sides changed mode, owner or attributes: nothing is kept aside, since no content is lost. */
function decideMetadata(base: Entry | null, rule: MergeRule, local: (why: string, contested: boolean) => Decision): Decision {
  const why =
    base === null
      ? "added on both sides with other mode, owner or attributes"
      : "mode, owner or attributes changed on both sides";
  if (rule === "fail") return { do: "conflict", why };
  if (rule === "image") return { ...take(`${why}: the image wins`), contested: true };
  return local(`${why}: the local ones win`, true);
}

function take(why: string, metadata: MetadataFrom = "image"): Extract<Decision, { do: "take-image" }> {
  return { do: "take-image", metadata, contested: false, loser: null, why };
}

function keep(why: string, contested = false): Decision {
  return { do: "keep", contested, loser: null, why };
}
