/** Range of a request (RFC 9110 14.2), as a server reads it. */

/** The one range of a file of `size` bytes that is asked for; `none` where the whole is to be sent; `beyond` for 416. */
export type RangeRequest = { is: "none" } | { is: "beyond" } | { is: "range"; first: number; last: number };

/** What the field asks for. What is not understood, or asks for several ranges, is ignored, as the RFC says. */
export function parseRangeRequest(value: string | null, size: number): RangeRequest {
  const match = /^bytes=[ \t]*([0-9]{0,16})-([0-9]{0,16})[ \t]*$/i.exec(value ?? "");
  const [from = "", to = ""] = match?.slice(1) ?? [];
  if (from === "" && to === "") return { is: "none" };
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? { is: "beyond" } : { is: "range", first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== "" && Number(to) < first) return { is: "none" };
  return first >= size ? { is: "beyond" } : { is: "range", first, last };
}
