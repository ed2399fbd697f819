/** A signed unified kernel image for each slot, Secure Boot on: counted by systemd-boot as its other entries are. */
import { test } from "uvu";
import { trialScenarios } from "./support/loader-scenarios.ts";
import { unifiedUnderTest } from "./support/systemd-boot-loader.ts";

trialScenarios(unifiedUnderTest(true));

test.run();
