/** Longest reason that is kept, in UTF-16 code units: at most 480 bytes, or 320 where JSON escapes it. */
export const REASON_LENGTH = 160;

/** `text` on one line and cut to REASON_LENGTH, never within a surrogate pair; never empty. */
export function cutReason(text: string): string {
  const line = text
    .toWellFormed()
    .replace(/[\p{Cc}\s]+/gu, " ")
    .trim();
  if (line === "") return "no reason was given";
  if (line.length <= REASON_LENGTH) return line;
  const cut = line.slice(0, REASON_LENGTH - 1);
  return `${cut.isWellFormed() ? cut : cut.slice(0, -1)}…`;
}

/** How the boot journal's reason begins for an attempt that an operator left by a rollback. */
export const OPERATOR_ROLLBACK = "rolled back by operator";
