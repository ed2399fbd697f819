/** What install-check.ts is asked, and what it answers. */
import type { RebuildJob } from "./rebuild-disk.ts";

export interface InstallJob extends RebuildJob {
  /** Files of images by their version: the new one and the one that the target held before. */
  images: Record<string, string>;
  /** Version of the image that is installed. */
  wanted: string;
  /** Of the key that signed them, 32 bytes in hex. */
  key: string;
}

/** The target slot, looked at without a boot record. */
export interface TargetFacts {
  /** Version that the seal names; null where there is none, or none that is trusted. */
  seal: string | null;
  /** Whether readers take it as an image that was damaged. */
  fault: string | null;
  /** Blocks of the sealed image's data and tree that are wrong: "data 100". */
  damaged: string[];
  /** The filesystem that something would mount that proves nothing; null where none is found. */
  filesystem: string | null;
  /** Version whose data the slot holds, every byte of it; null where it is none of them. */
  holds: string | null;
}

/** What is on the disk at one point, in the order of the job's points: one line of JSON each. */
export interface InstallFacts {
  record: "valid" | "empty" | "unreadable";
  /** The slot that the next boot chooses. */
  next: string | null;
  target: TargetFacts;
  /** What running the install again came to: the target afterwards, and how many blocks were fetched. */
  again: { target: TargetFacts; fetched: number };
}
