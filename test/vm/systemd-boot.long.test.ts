/** systemd-boot 252 on OVMF counts and chooses, slipway follows: test/vm/support/loader-scenarios.ts. */
import { test } from "uvu";
import { proofScenarios, storeScenarios, trialScenarios } from "./support/loader-scenarios.ts";
import { systemdBootUnderTest } from "./support/systemd-boot-loader.ts";

const systemdBoot = systemdBootUnderTest();
if (!process.env.ONLY || process.env.ONLY === "1") trialScenarios(systemdBoot);
proofScenarios(systemdBoot);
storeScenarios(systemdBoot);

test.run();
