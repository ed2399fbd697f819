import { BadInput } from "../../../state-ops/outcome.ts";
import { readTextInput } from "../input.ts";

/** Where passphrases of encrypted keys come from. Never from the command line, which everybody on the machine can read. */
export interface Passphrases {
  /** Those of --passphrase-file. */
  given: readonly string[];
  /** Asks on the terminal for the one of `what`; null where there is no terminal. */
  ask(what: string): Promise<string | null>;
}

/** The passphrases in `files`, and a terminal for others. @throws BadInput */
export function passphrasesFrom(files: readonly string[]): Passphrases {
  return { given: files.map(readPassphraseFile), ask: askOnTerminal };
}

/** The first line of a file, as openssl's `-passin file:` reads it. @throws BadInput */
export function readPassphraseFile(file: string): string {
  const what = `--passphrase-file ${file}`;
  const [line = ""] = readTextInput(what, file).split(/\r?\n/);
  if (line === "") throw new BadInput(`${what}: its first line is empty; write the passphrase there`);
  return line;
}

/** Asks on the terminal, without showing what is typed. */
async function askOnTerminal(what: string): Promise<string | null> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) return null;
  stderr.write(`passphrase of ${what}: `);
  stdin.setRawMode(true);
  stdin.resume();
  try {
    return await typedLine(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

/** What is typed up to the end of the line. A raw terminal does its editing and its signals through us. */
async function typedLine(stdin: NodeJS.ReadStream): Promise<string> {
  const decoder = new TextDecoder();
  let line = "";
  return new Promise((resolve, reject) => {
    const take = (bytes: Uint8Array): void => {
      for (const character of decoder.decode(bytes, { stream: true })) {
        if ("\r\n\u0003\u0004".includes(character)) {
          stdin.off("data", take);
          if ("\r\n".includes(character)) resolve(line);
          else reject(new BadInput("no passphrase was given"));
          return;
        }
        if (character === "\u007f" || character === "\b") line = [...line].slice(0, -1).join("");
        else if (character === "\u0015") line = "";
        else line += character;
      }
    };
    stdin.on("data", take);
  });
}
