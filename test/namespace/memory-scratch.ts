/** Imported first: the disks of this test file are in memory, where hundreds of mounts cost no writes. */
import { existsSync } from "node:fs";

if (existsSync("/dev/shm")) process.env.TMPDIR = "/dev/shm";
