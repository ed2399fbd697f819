/** GRUB on UEFI counts and chooses, slipway follows: test/vm/support/loader-scenarios.ts. */
import { test } from "uvu";
import { grubUnderTest } from "./support/grub-loader.ts";
import { trialScenarios } from "./support/loader-scenarios.ts";

trialScenarios(grubUnderTest({ firmware: "ovmf" }));

test.run();
