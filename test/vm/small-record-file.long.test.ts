/** The boot record as a file on the data filesystem, alone and beside GRUB's environment block; slipway chooses. */
import { test } from "uvu";
import { storeStory } from "./support/store-story.ts";
import { inFile, inFileBesideGrub } from "./support/store-subjects.ts";

for (const subject of [inFile, inFileBesideGrub]) await storeStory(subject);

test.run();
