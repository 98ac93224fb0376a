import { compareTokenizers, type EncodeOptions, type Encoding, type ResolvedTokenizer } from '@bittern/tokenizer';
import { printable, table } from './output.ts';
import { identityOf, identityRows, type TokenizerIdentity } from './tokenizer-file.ts';

/** Two tokenizers on some texts, as JSON. */
export interface TokenizerComparison {
  readonly verdict: 'equal' | 'different';
  readonly first: TokenizerIdentity;
  readonly second: TokenizerIdentity;
  readonly texts: number;
  readonly difference?: Difference;
}

interface Difference {
  /** From 0: of which text, and which token of it. */
  readonly text: number;
  readonly token: number;
  /** Where that token is in the UTF-8 of the text, and its line from 1; null where no offset is known. */
  readonly byte: number | null;
  readonly line: number | null;
  /** Probable, for people. */
  readonly cause: string;
  /** Some tokens around the difference. */
  readonly first: readonly Token[];
  readonly second: readonly Token[];
}

interface Token {
  readonly token: number;
  readonly id: number;
  readonly piece: string;
}

/** Tokens that are shown before the first that differs, and from it on. */
const SHOWN_BEFORE = 3;
const SHOWN_FROM = 5;

export function compareOn(
  first: ResolvedTokenizer,
  second: ResolvedTokenizer,
  texts: readonly string[],
  options: EncodeOptions,
): TokenizerComparison {
  const found = compareTokenizers(first.tokenizer, second.tokenizer, texts, options);
  const sides = { first: identityOf(first), second: identityOf(second), texts: texts.length };
  if (found === undefined) return { verdict: 'equal', ...sides };
  const { textIndex, text, tokenIndex, a, b, cause } = found;
  const byte = (a.offsets[tokenIndex] ?? b.offsets[tokenIndex])?.[0] ?? null;
  const difference = {
    text: textIndex,
    token: tokenIndex,
    byte,
    line:
      byte === null ? null : Buffer.from(text.toWellFormed()).subarray(0, byte).toString('latin1').split('\n').length,
    cause,
    first: tokensAround(a, tokenIndex),
    second: tokensAround(b, tokenIndex),
  };
  return { verdict: 'different', ...sides, difference };
}

function tokensAround({ ids, pieces }: Encoding, center: number): Token[] {
  const start = Math.max(0, center - SHOWN_BEFORE);
  return ids
    .slice(start, center + SHOWN_FROM)
    .map((id, index) => ({ token: start + index, id, piece: pieces[start + index]! }));
}

export function textOfComparison({ first, second, texts, difference }: TokenizerComparison): string {
  const head = table([...identityRows('first', first), ...identityRows('second', second)]);
  const count = `${texts} ${texts === 1 ? 'text' : 'texts'}`;
  if (difference === undefined) {
    const always = first.digest === second.digest;
    const extent = always ? 'and, having one digest, on any other' : 'though their digests differ';
    return `${head}\nEqual: the same ids on ${count}, ${extent}\n`;
  }
  const { text, token, byte, line, cause } = difference;
  const where = byte === null ? '' : ` (line ${line}, byte ${byte})`;
  const last = Math.max(...[...difference.first, ...difference.second].map((shown) => shown.token));
  const rows = [['token', 'first id', 'piece', 'second id', 'piece']];
  for (let index = Math.max(0, token - SHOWN_BEFORE); index <= last; index++) {
    const mark = index === token ? '>' : ' ';
    rows.push([`${mark} ${index}`, ...cells(difference.first, index), ...cells(difference.second, index)]);
  }
  const summary = `DIFFERENT: text ${text + 1} of ${count}, from token ${token} on${where}`;
  return `${head}\n${table(rows)}\n${summary}\nProbable cause: ${printable(cause)}\n`;
}

function cells(tokens: readonly Token[], index: number): [id: string, piece: string] {
  const shown = tokens.find(({ token }) => token === index);
  return shown ? [String(shown.id), printable(JSON.stringify(shown.piece))] : ['-', ''];
}
