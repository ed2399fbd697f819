/** The compiler on texts in memory. */
import { type Compiled, compile } from "../../state-ops/compile.ts";
import type { ControlFile, TrustedCertificate } from "../../state-ops/control.ts";
import type { ImageTree } from "../../state-ops/image-tree.ts";
import { CompileError } from "../../state-ops/problems.ts";
import { parseYaml } from "../../state-ops/schema/document.ts";
import { sampleImage } from "./image.ts";

export const sampleSystem = `system: acme
slots:
  b: { device: PARTLABEL=root-b }
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: unsigned
`;

/** An image with a user, some directories, and files of several kinds. */
export const sampleTree = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:101:102::/:/x\n",
  "/etc/group": "root:x:0:\napp:x:102:\n",
  "/etc/machine-id": "uninitialized\n",
  "/etc/fstab": "",
  "/var/lib/dpkg/status": "x",
  "/srv/file": "content",
  "/var/run": { target: "/run" },
};

export const sampleDirectories = ["/etc/ssh", "/var/lib/empty", "/tmp", "/home"];

/** A fragment of package `name` whose operators are the given flow maps, from line 3 on. */
export function fragment(operators: readonly string[], name = "p"): string {
  const list = operators.map((operator) => `  - { ${operator} }\n`).join("");
  return `package: ${name}\noperators:${list === "" ? " []" : ""}\n${list}`;
}

export interface Sources {
  /** YAML by file name. */
  fragments?: Record<string, string>;
  system?: string;
  image?: ImageTree;
  previous?: ControlFile | null;
  /** Public keys by the names of their files. */
  keys?: Record<string, string>;
  /** Certificates by the names of their files. */
  certificates?: Record<string, TrustedCertificate>;
  /** Authorities in PEM by the names of their files. */
  authorities?: Record<string, string>;
  /** Other files by their names: fw_env.config. */
  texts?: Record<string, string>;
}

/** Throws CompileError, as the builder's verbs do: with the mistakes of every file that is no YAML. */
export function compileTexts(sources: Sources): Compiled {
  const { fragments = {}, system = sampleSystem, image, previous = null } = sources;
  const { keys = {}, certificates = {}, authorities = {}, texts = {} } = sources;
  const parsed = Object.entries({ "system.yaml": system, ...fragments }).map(([file, text]) => parseYaml(file, file, text));
  const [systemDocument, ...documents] = parsed.flatMap(({ document }) => (document === null ? [] : [document]));
  if (systemDocument === undefined || documents.length < parsed.length - 1) {
    throw new CompileError(parsed.flatMap(({ problems }) => problems));
  }
  return compile({
    system: systemDocument,
    fragments: documents,
    image: image ?? sampleImage(sampleTree, sampleDirectories),
    beside: {
      key: (file) => {
        const key = keys[file];
        return key === undefined ? { fault: `${file} cannot be read` } : { key };
      },
      certificate: (file) => {
        const certificate = certificates[file];
        return certificate === undefined ? { fault: `${file} is not there` } : { certificate };
      },
      authorities: (file) => {
        const pem = authorities[file];
        return pem === undefined ? { fault: `${file} cannot be read` } : { pem };
      },
      text: (file) => {
        const text = texts[file];
        return text === undefined ? { fault: `${file} cannot be read` } : { text };
      },
    },
    previous,
  });
}

/** What the compiler complained of, none where it compiled. Whatever else was thrown goes on. */
export function problemsOf(sources: Sources): string[] {
  try {
    compileTexts(sources);
    return [];
  } catch (error) {
    if (error instanceof CompileError) return error.lines;
    throw error;
  }
}
