import koffi from 'koffi';
import type { Symbols } from './symbols.ts';

const KEPT_LINES = 64;
const SHOWN_LINES = 4;
const MAX_LINE_LENGTH = 500;
const TELLS_OF_TROUBLE = /error|fail|invalid|unknown|unsupported|not supported|missing|assert/i;

/** The last lines of what the library reports, kept so that a refusal can say why. */
export class LibraryLog {
  readonly #lines: string[] = [];

  constructor(symbols: Symbols) {
    const callback = koffi.register(
      (_level: number, text: string | null) => this.#add(text ?? ''),
      koffi.pointer(koffi.proto('void', ['int', 'str', 'void *'])),
    );
    symbols.require<[bigint, null], void>('llama_log_set', 'void', ['void *', 'void *'])(callback, null);
  }

  /** What tells of trouble, else the last lines. */
  tail(): string {
    const telling = this.#lines.filter((line) => TELLS_OF_TROUBLE.test(line));
    return (telling.length > 0 ? telling : this.#lines).slice(-SHOWN_LINES).join(' | ');
  }

  #add(text: string): void {
    // Dots of a progress line are nothing to keep.
    const line = text.trim().slice(0, MAX_LINE_LENGTH);
    if (!/\w/.test(line)) return;
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
  }
}
