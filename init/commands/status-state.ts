/** What `slipway status` tells of the state that is kept. */
import { generationName } from "../../state-ops/layout.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { requestLines, type StateRequests } from "../../state-ops/requests.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { readGenerations } from "../state/data-filesystem.ts";
import { withDataFilesystem } from "./data-access.ts";
import type { Machine } from "./machine.ts";
import { readRequests } from "./state/request-file.ts";

export interface StatusState {
  /** What the next boot is asked to do; null where nothing was asked, or it cannot be looked at. */
  requests: StateRequests | null;
  /** The same in words. */
  pending: string[];
  /** Generations that are never collected unasked, ascending. */
  pinned: { generation: string; reason: string; attempt: number }[];
}

const NOTHING: StatusState = { requests: null, pending: [], pinned: [] };

/** Notes in `warnings` what cannot be looked at. */
export function statusState(kernel: Kernel, machine: Machine, warnings: string[]): StatusState {
  if (machine.report.data === null) return NOTHING;
  try {
    return withDataFilesystem(kernel, machine, (data) => {
      const { requests, fault } = readRequests(kernel, data);
      if (fault !== null) warnings.push(fault);
      const { generations } = readGenerations(kernel, data, machine.policy.slots);
      const pinned = generations
        .flatMap(({ number, pinned: pin }) => {
          if (pin === null) return [];
          const { reason, attempt } = pin;
          return [{ generation: generationName(number), reason, attempt }];
        })
        .sort((left, right) => (left.generation < right.generation ? -1 : 1));
      const asked = requests.reset === null && requests.carry === null ? null : requests;
      return { requests: asked, pending: requestLines(requests), pinned };
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    warnings.push(`pending requests and pinned generations are not known: ${error.message}`);
    return NOTHING;
  }
}
