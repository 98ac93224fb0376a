import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { byteCharacters, type TokenizerJson } from './llama3.ts';
import { Random } from './random.ts';

/** Texts of about `sizeBytes` each, the same in each run: what users write, roughly. */
export function benchTexts(sizeBytes: number, json: TokenizerJson): Readonly<Record<string, string>> {
  const words = vocabularyWords(json);
  return {
    english: prose(
      words.filter((word) => /^ [a-z]+$/.test(word)),
      sizeBytes,
    ),
    multilingual: prose(
      words.filter((word) => /^ ?[\p{L}\p{M}]+$/u.test(word) && !/[a-z]/i.test(word)),
      sizeBytes,
    ),
    code: code(sizeBytes),
  };
}

/** The pieces of a vocabulary that are text, the most frequent of its training first. */
function vocabularyWords({ model }: TokenizerJson): string[] {
  const bytes = new Map(byteCharacters().map((character, byte) => [character, byte]));
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  return Object.entries(model.vocab)
    .toSorted(([, a], [, b]) => a - b)
    .flatMap(([spelling]) => {
      try {
        return utf8.decode(Uint8Array.from(spelling, (character) => bytes.get(character)!));
      } catch {
        return []; // part of a character
      }
    });
}

/** Words drawn by Zipf's law, one in eight of them run together with the next, in sentences and paragraphs. */
function prose(words: readonly string[], sizeBytes: number): string {
  const random = new Random('prose');
  const parts: string[] = [];
  for (let length = 0; length < sizeBytes;) {
    let word = words[Math.floor(words.length ** random.fraction())]!;
    if (random.fraction() < 1 / 8) word += words[Math.floor(words.length ** random.fraction())]!.trim();
    const end = random.fraction();
    if (end < 0.01) word += '.\n\n';
    else if (end < 0.08) word += '.';
    else if (end < 0.16) word += ',';
    else if (end < 0.17) word += ` ${random.next() % 2100}`;
    parts.push(word);
    length += Buffer.byteLength(word);
  }
  return parts.join('');
}

/** The DOM's declarations, which come with TypeScript. */
function code(sizeBytes: number): string {
  const path = fileURLToPath(import.meta.resolve('typescript/lib/lib.dom.d.ts'));
  return readFileSync(path, 'utf8').slice(0, sizeBytes);
}
