import type { Io } from './io.ts';

/** One JSON document on one line. NaN, infinities and bigint are strings there: JSON has none of them. */
export function writeJson(io: Io, document: unknown): Promise<void> {
  return io.stdout.write(`${JSON.stringify(document, replaceUnrepresentable)}\n`);
}

function replaceUnrepresentable(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

/** Text from a file, fit for a terminal: control and formatting characters are escaped. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    return `\\u{${character.codePointAt(0)!.toString(16)}}`;
  });
}

/** Columns side by side, the last one as it is. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join('  ');
  return rows.map((row) => `${line(row)}\n`).join('');
}

export function sizeText(count: number): string {
  return count < 1e6 ? `${count} bytes` : `${count} bytes (${(count / 1e6).toFixed(1)} MB)`;
}

export function warn(io: Io, message: string): void {
  io.stderr.write(`bittern: warning: ${printable(message)}\n`);
}

/** A line on stderr that is written over and over while somebody watches, and is gone in the end. */
export class ProgressLine {
  readonly #stderr: Io['stderr'];
  #shown = '';

  constructor(io: Io) {
    this.#stderr = io.stderr;
  }

  show(text: string): void {
    if (!this.#stderr.isTTY || text === this.#shown) return;
    this.#stderr.write(`\r\u001b[K${text}`);
    this.#shown = text;
  }

  clear(): void {
    if (this.#shown !== '') this.#stderr.write('\r\u001b[K');
    this.#shown = '';
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
