/** systemd-boot 252 on OVMF counts and chooses, slipway follows: test/vm/support/loader-scenarios.ts. */
import { test } from "uvu";
import { trialScenarios } from "./support/loader-scenarios.ts";
import { systemdBootUnderTest } from "./support/systemd-boot-loader.ts";

trialScenarios(systemdBootUnderTest());

test.run();
