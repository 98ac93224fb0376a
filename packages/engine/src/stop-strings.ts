/**
 * Passes text on until one of some strings appears in it: that string and what follows are kept back. Text is held back
 * only while it may still become one of them, so the text of all calls together does not depend on how it was cut.
 */
export class StopStrings {
  readonly #strings: readonly string[];
  #held = '';
  #found: string | undefined;

  /** @param strings - none empty; none at all lets everything pass */
  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  /** The string that was found. */
  get found(): string | undefined {
    return this.#found;
  }

  /** @returns what can no longer be part of one of the strings */
  push(text: string): string {
    if (this.#found !== undefined) return '';
    const pending = this.#held + text;
    this.#found = this.#firstComplete(pending);
    const end = this.#found === undefined ? this.#possibleStart(pending) : pending.indexOf(this.#found);
    this.#held = this.#found === undefined ? pending.slice(end) : '';
    return pending.slice(0, end);
  }

  /** What is still held back, when no more text comes. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** Of several strings the one that ends first, as if the text came by the character; then the longest. */
  #firstComplete(text: string): string | undefined {
    let first: string | undefined;
    let firstEnd = Infinity;
    for (const string of this.#strings) {
      const start = text.indexOf(string);
      if (start < 0) continue;
      const end = start + string.length;
      if (end < firstEnd || (end === firstEnd && string.length > first!.length)) [first, firstEnd] = [string, end];
    }
    return first;
  }

  /** Where the longest end of `text` starts that one of the strings begins with. */
  #possibleStart(text: string): number {
    const longest = Math.max(0, ...this.#strings.map(({ length }) => length - 1));
    for (let start = Math.max(0, text.length - longest); start < text.length; start++) {
      const end = text.slice(start);
      if (this.#strings.some((string) => string.startsWith(end))) return start;
    }
    return text.length;
  }
}
