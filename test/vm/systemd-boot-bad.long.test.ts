/** systemd-boot with images that fail their proof, and with entries torn and lost: test/vm/support/loader-scenarios.ts. */
import { test } from "uvu";
import { proofScenarios, storeScenarios } from "./support/loader-scenarios.ts";
import { systemdBootUnderTest } from "./support/systemd-boot-loader.ts";

const systemdBoot = systemdBootUnderTest();
proofScenarios(systemdBoot);
storeScenarios(systemdBoot);

test.run();
