import type { Encoding, EncodeOptions, Tokenizer } from './tokenizer.ts';

export interface TokenizerDifference {
  /** Which of the texts. */
  readonly textIndex: number;
  readonly text: string;
  /** The first token that differs; one encoding may end there. */
  readonly tokenIndex: number;
  readonly a: Encoding;
  readonly b: Encoding;
  /** Probable, for people. */
  readonly cause: string;
}

/**
 * The first of `texts` that two tokenizers encode differently.
 *
 * @param texts - of a file: its lines, or all of it
 * @returns undefined if there is none
 */
export function compareTokenizers(
  a: Tokenizer,
  b: Tokenizer,
  texts: Iterable<string>,
  options: EncodeOptions = {},
): TokenizerDifference | undefined {
  let textIndex = 0;
  for (const text of texts) {
    const ids = [a.encode(text, options), b.encode(text, options)] as const;
    const tokenIndex = firstDifference(...ids);
    if (tokenIndex >= 0) {
      const encodings = { a: a.encodeWithOffsets(text, options), b: b.encodeWithOffsets(text, options) };
      return { textIndex, text, tokenIndex, ...encodings, cause: causeOf(a, b, ...ids, tokenIndex) };
    }
    textIndex++;
  }
  return undefined;
}

/** @returns -1 if the lists are equal */
function firstDifference(a: readonly number[], b: readonly number[]): number {
  const length = Math.max(a.length, b.length);
  for (let index = 0; index < length; index++) {
    if (a[index] !== b[index]) return index;
  }
  return -1;
}

function causeOf(a: Tokenizer, b: Tokenizer, idsA: readonly number[], idsB: readonly number[], index: number): string {
  const [bosA, bosB] = [countBos(idsA, a), countBos(idsB, b)];
  if (bosA !== bosB) {
    const [more, { bosId }] = bosA > bosB ? ['first', a] : ['second', b];
    const bos =
      Math.max(bosA, bosB) > 1
        ? `the ${more} doubles BOS (${bosId})`
        : `only the ${more} adds BOS (${bosId}): add_bos_token differs`;
    const [restA, restB] = [idsA.slice(bosA), idsB.slice(bosB)];
    const next = firstDifference(restA, restB);
    return next < 0 ? bos : `${bos}; and ${causeOf(a, b, restA, restB, next)}`;
  }
  if (idsA.length !== idsB.length && firstDifference(dropEos(idsA, a), dropEos(idsB, b)) < 0) {
    return 'only one adds EOS: add_eos_token differs';
  }
  const sameText = idsA.map((id) => a.piece(id)).join('') === idsB.map((id) => b.piece(id)).join('');
  if (a.vocabSize !== b.vocabSize) return `other vocabularies: ${a.vocabSize} and ${b.vocabSize} tokens`;
  const [pieceA, pieceB] = [idsA[index], idsB[index]].map((id, side) =>
    id === undefined ? undefined : (side === 0 ? a : b).piece(id),
  );
  if (pieceA !== undefined && pieceA === pieceB) return 'the same piece has another id: other vocabularies';
  const controlA = pieceA !== undefined && a.controlTokens.has(pieceA);
  const controlB = pieceB !== undefined && b.controlTokens.has(pieceB);
  if (controlA !== controlB) {
    const text = controlA ? pieceA : pieceB;
    return `${text} is a control token to the ${controlA ? 'first' : 'second'} only: special tokens are parsed on one side`;
  }
  if (a.pre !== b.pre) return `other pre-tokenizers: ${brief(a.pre)} and ${brief(b.pre)}`;
  if (a.model !== b.model) return `other models: ${a.model} and ${b.model}`;
  if (!sameText) return 'one of them normalizes the text or has no token for a part of it';
  return 'the same text in other pieces: merges or scores differ, or the two implementations of the pre-tokenizer';
}

function countBos(ids: readonly number[], { bosId }: Tokenizer): number {
  const first = ids.findIndex((id) => id !== bosId);
  return first < 0 ? ids.length : first;
}

function dropEos(ids: readonly number[], { eosId }: Tokenizer): readonly number[] {
  return ids.slice(0, ids.findLastIndex((id) => id !== eosId) + 1);
}

function brief(name: string): string {
  return name.length <= 40 ? name : `${name.slice(0, 40)}…`;
}
