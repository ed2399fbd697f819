/** GRUB on UEFI with slots that fail their proof, and with an environment block that is torn or not the one that is written. */
import { test } from "uvu";
import { grubUnderTest } from "./support/grub-loader.ts";
import { proofScenarios, storeScenarios } from "./support/loader-scenarios.ts";

const grub = grubUnderTest({ firmware: "ovmf" });
proofScenarios(grub);
storeScenarios(grub);

test.run();
