import { shown } from "../../boot/network/source-url.ts";
import { BadInput } from "../../state-ops/outcome.ts";

/** The path that a source on this machine has: a path as it is, or that of a `file:` URL. Throws BadInput. */
export function localPath(text: string): string {
  if (!/^file:/i.test(text)) return text;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.host !== "" && url.host !== "localhost") || url.search !== "" || url.hash !== "") {
    throw new BadInput(`${shown(text)} is no file: URL of this machine; write file:///path, or the path alone`);
  }
  try {
    return decodeURIComponent(url.pathname);
  } catch {
    throw new BadInput(`${text} has a percent sign that encodes nothing; write the path alone`);
  }
}
