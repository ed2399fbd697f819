/**
 * What most names consist of, told without a regular expression: PID 1 reads hundreds of them once, and the machinery behind the
 * first expression costs a start more than all of that.
 */

const code = (character: string): number => character.charCodeAt(0);

function isLetter(char: number): boolean {
  return (char >= code("a") && char <= code("z")) || (char >= code("A") && char <= code("Z"));
}

/** Whether `text` has printable ASCII alone, space included. An empty one has. */
export function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (char < 0x20 || char > 0x7e) return false;
  }
  return true;
}

/** Whether `text` has ASCII letters, digits and characters of `others` alone. An empty one has. */
export function hasOnly(text: string, others: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    const isDigit = char >= code("0") && char <= code("9");
    if (!isLetter(char) && !isDigit && !others.includes(text.charAt(index))) return false;
  }
  return true;
}

/** Whether `text` begins with an ASCII letter. */
export function beginsWithLetter(text: string): boolean {
  return text !== "" && isLetter(text.charCodeAt(0));
}
