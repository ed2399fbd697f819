/** These tests mount over /run and other places of the machine, which is meant for the mounts that the test runner gives them. */
import { readlinkSync } from "node:fs";

if (readlinkSync("/proc/self/ns/mnt") === readlinkSync(`/proc/${process.ppid}/ns/mnt`)) {
  throw new Error("this test mounts, and has no mounts of its own; run it with: npm test -- namespace/NAME");
}
