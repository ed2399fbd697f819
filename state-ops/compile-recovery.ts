import type { ControlFile } from "./control.ts";
import { problemAt } from "./problems.ts";
import { type ControlRecovery, DEFAULT_RECOVERY, type RecoveryNetwork, RUNGS, type StaticLink } from "./recovery.ts";
import {
  authoritiesFault,
  LONGEST_WAIT,
  linksTogetherFault,
  proxyFault,
  requestPathFault,
  sameUrl,
  staticLinkFaults,
  urlFault,
} from "./recovery-rules.ts";
import type { NodePath, Problem, SourceDocument } from "./schema/document.ts";
import type { RecoveryDefinition } from "./schema/recovery.ts";
import { parseDuration } from "./schema/words.ts";

/** What is in the PEM file that `authorities:` names, or what is wrong with it, naming the file. */
export type ReadAuthorities = (file: string) => { pem: string } | { fault: string };

type Said = Exclude<RecoveryDefinition, "off">;

interface Around {
  document: SourceDocument;
  trust: ControlFile["trust"];
  /** Reference to the data filesystem's device; null without one. */
  data: string | null;
  readAuthorities: ReadAuthorities;
}

/** What `recovery:` says, with every default filled in. */
export function compileRecovery(
  said: RecoveryDefinition | undefined,
  around: Around,
): { recovery: ControlRecovery; problems: Problem[]; warnings: Problem[] } {
  // Nobody has to have signed what is on a stick, so that any stick would do.
  const media = around.trust.mode === "signed";
  if (said === "off") return { recovery: { ...DEFAULT_RECOVERY, ladder: [] }, problems: [], warnings: [] };
  if (said === undefined) return { recovery: { ...DEFAULT_RECOVERY, media }, problems: [], warnings: [] };
  const compiler = new Compiler(around.document);
  const sources = compiler.sources(said);
  const report = said.report ?? null;
  if (report !== null) compiler.problem(["report"], urlFault(report));
  const proxy = said.proxy?.replace(/\/$/, "") ?? null;
  if (proxy !== null) compiler.problem(["proxy"], proxyFault(proxy));
  const recovery: ControlRecovery = {
    ladder: compiler.ladder(said),
    sources,
    factory: said.factory ?? null,
    media: said.media ?? media,
    network: compiler.network(said.network ?? (sources.length > 0 || report !== null ? "dhcp" : "off")),
    authorities: compiler.authorities(said.authorities, around.readAuthorities),
    proxy,
    report,
    request: compiler.request(said.request, around.data),
    patience: compiler.seconds("patience", said.patience, DEFAULT_RECOVERY.patience),
    longestPause: compiler.seconds("longest-pause", said["longest-pause"], DEFAULT_RECOVERY.longestPause),
  };
  compiler.warnUnsigned(said, around.trust);
  return { recovery, problems: compiler.problems, warnings: compiler.warnings };
}

class Compiler {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];

  constructor(readonly document: SourceDocument) {}

  problem(path: NodePath, text: string | null): void {
    if (text !== null) this.problems.push(problemAt(this.document, ["recovery", ...path], text));
  }

  warning(path: NodePath, text: string): void {
    this.warnings.push(problemAt(this.document, ["recovery", ...path], text));
  }

  ladder({ ladder, sources = [] }: Said): ControlRecovery["ladder"] {
    if (ladder === undefined) return [...RUNGS];
    for (const [index, rung] of ladder.entries()) {
      if (ladder.indexOf(rung) < index) this.problem(["ladder", index], `${rung} is there twice; keep the first`);
    }
    const installs = ladder.includes("reinstall") || ladder.includes("reinstall-fresh");
    if (sources.length > 0 && !installs) {
      const left = ladder.includes("repair") ? "are asked for damaged blocks only" : "are never asked";
      this.warning(["ladder"], `"ladder" has no reinstall, so that "sources" ${left}`);
    }
    return ladder;
  }

  sources({ sources = [] }: Said): string[] {
    for (const [index, source] of sources.entries()) {
      const twin = sources.findIndex((other) => sameUrl(other, source));
      this.problem(["sources", index], urlFault(source) ?? (twin < index ? `${source} is there twice; keep the first` : null));
    }
    return sources;
  }

  network(said: NonNullable<Said["network"]>): RecoveryNetwork {
    if (said === "dhcp" || said === "off") return { mode: said };
    const links = said.map(({ link, addresses, gateways, nameservers }): StaticLink => {
      // The kernel tells a hardware's address in lower case.
      const name = link === undefined ? null : link.includes(":") ? link.toLowerCase() : link;
      return { link: name, addresses, gateways: gateways ?? [], nameservers: nameservers ?? [] };
    });
    for (const [index, link] of links.entries()) {
      for (const fault of staticLinkFaults(link)) {
        this.problem(["network", index, fault.key, ...(fault.index === null ? [] : [fault.index])], fault.text);
      }
    }
    const together = linksTogetherFault(links);
    if (together !== null) this.problem(["network", together.index], together.text);
    return { mode: "static", links };
  }

  authorities(file: string | undefined, read: ReadAuthorities): string | null {
    if (file === undefined) return null;
    const found = read(file);
    const fault = "fault" in found ? found.fault : authoritiesFault(found.pem);
    if (fault !== null) this.problem(["authorities"], "fault" in found ? fault : `${file} ${fault}`);
    return "pem" in found ? found.pem : null;
  }

  request(said: Said["request"], data: string | null): ControlRecovery["request"] {
    if (said === undefined) return null;
    if (typeof said === "object") {
      this.problem(["request", "path"], requestPathFault(said.path));
      return said;
    }
    this.problem(["request"], requestPathFault(said));
    if (data !== null) return { device: data, path: said };
    this.problem(["request"], 'the file lies on the data filesystem, and there is no "data:"; write { device: …, path: … }');
    return null;
  }

  seconds(key: string, said: string | number | undefined, otherwise: number): number {
    if (said === undefined) return otherwise;
    const seconds = parseDuration(said);
    if (seconds > LONGEST_WAIT) this.problem([key], `"${key}" is ${said}; the longest is one day (24h)`);
    return seconds;
  }

  warnUnsigned({ sources = [], media }: Said, trust: ControlFile["trust"]): void {
    if (trust.mode === "signed") return;
    const remedy = 'give "trust" the keys that images are signed with';
    if (sources.length > 0) {
      this.warning(
        ["sources"],
        `whoever answers for these servers decides what this machine runs, since nothing has to be signed; ${remedy}`,
      );
    }
    if (media === true) {
      this.warning(
        ["media"],
        `any stick that is plugged in decides what this machine runs, since nothing has to be signed; ${remedy}`,
      );
    }
  }
}
