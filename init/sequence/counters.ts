import type { JournalEntry, Outcome } from "../../boot/record/journal.ts";
import type { BootRecord, Stage } from "../../boot/record/record.ts";
import { freshRecord, type RecordReading } from "../../boot/record/store.ts";
import { failAttempt, reachHandover } from "../../boot/selection/attempt.ts";
import type { Policy } from "../../boot/selection/policy.ts";
