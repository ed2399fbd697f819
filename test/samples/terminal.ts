/** A terminal as far as a recovery's screen uses one: a grid of characters, and an answer where its cursor is. */
export class Terminal {
  cells: string[][];
  row = 0;
  column = 0;
  cursorVisible = true;
  #saved: [number, number] = [0, 0];
  #rest = "";

  constructor(
    readonly columns: number,
    readonly rows: number,
  ) {
    this.cells = Array.from({ length: rows }, () => this.#emptyRow());
  }

  #emptyRow(): string[] {
    return Array.from({ length: this.columns }, () => " ");
  }

  /** The text of each line, without blanks at its end. */
  get lines(): string[] {
    return this.cells.map((row) => row.join("").trimEnd());
  }

  /** The lines down to the last one with text. */
  get text(): string[] {
    return this.lines.slice(0, this.lines.findLastIndex((line) => line !== "") + 1);
  }

  /** Takes what was written to it, and returns what it answers. Throws on what it does not know. */
  feed(text: string): string {
    let answers = "";
    this.#rest += text;
    for (;;) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what terminals obey
      const match = /^(?:\x1b\[(\??[\d;]*)([A-Za-z])|\x1b([78])|([\r\n\x18])|([\x20-\x7e]))/.exec(this.#rest);
      if (match === null) break;
      this.#rest = this.#rest.slice(match[0].length);
      const [, parameters = "", final, saving, control, character] = match;
      if (final !== undefined) answers += this.#sequence(parameters, final);
      else if (saving === "7") this.#saved = [this.row, this.column];
      else if (saving === "8") [this.row, this.column] = this.#saved;
      else if (control === "\r") this.column = 0;
      else if (control === "\n") this.#lineFeed();
      else if (character !== undefined) this.#put(character);
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the start of what terminals obey
    if (!/^(\x1b(\[[?\d;]*)?)?$/.test(this.#rest)) throw new Error(`the terminal got ${JSON.stringify(this.#rest.slice(0, 20))}`);
    return answers;
  }

  #sequence(parameters: string, final: string): string {
    const numbers = parameters.split(";").map((number) => Number(number || "1"));
    const [first = 1, second = 1] = numbers;
    if (final === "H") {
      this.row = Math.min(this.rows, first) - 1;
      this.column = Math.min(this.columns, second) - 1;
    } else if (final === "K" && parameters === "") this.#clearLine();
    else if (final === "J" && parameters === "") {
      this.#clearLine();
      for (let row = this.row + 1; row < this.rows; row++) this.cells[row] = this.#emptyRow();
    } else if (final === "n" && parameters === "6") return `\x1b[${this.row + 1};${this.column + 1}R`;
    else if (parameters === "?25" && (final === "l" || final === "h")) this.cursorVisible = final === "h";
    else throw new Error(`the terminal does not know ${JSON.stringify(parameters + final)}`);
    return "";
  }

  #clearLine(): void {
    this.cells[this.row]?.fill(" ", this.column);
  }

  #lineFeed(): void {
    if (this.row < this.rows - 1) this.row++;
    else this.cells = [...this.cells.slice(1), this.#emptyRow()];
  }

  #put(character: string): void {
    if (this.column >= this.columns) {
      this.column = 0;
      this.#lineFeed();
    }
    const row = this.cells[this.row];
    if (row) row[this.column] = character;
    this.column++;
  }
}
