/** Networks that want somebody to log in first answer for every server, with a web page of theirs; neither image nor channel is one. */
import { type AnswerHead, fieldOf } from "./answer-head.ts";

/** What is said of one; it goes on from the URL's name. */
export const WEB_PAGE = "answers with a web page (text/html): is the URL right, and is there a login page in between?";

/** Whether an answer says that its body is one. */
export function isWebPage(head: AnswerHead): boolean {
  return /^(text\/html|application\/xhtml\+xml)\b/i.test(fieldOf(head, "content-type") ?? "");
}

/** Whether a body begins as one, whatever its type was said to be. */
export function beginsAsWebPage(bytes: Uint8Array): boolean {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 512));
  return /^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|script|meta)\b/i.test(start);
}
