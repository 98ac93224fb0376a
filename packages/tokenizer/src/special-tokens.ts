/** A token that is found in text by its spelling, before any word is formed. */
export interface SpecialToken {
  readonly id: number;
  /** Not empty. */
  readonly text: string;
}

const utf8 = new TextEncoder();

/**
 * The order in which the reference looks for them: longest first, in bytes. It leaves the order of equally long ones
 * open (std::sort); here the lower id goes first.
 */
export function inSearchOrder(tokens: readonly SpecialToken[]): SpecialToken[] {
  return tokens
    .map((token) => ({ token, lengthBytes: utf8.encode(token.text).length }))
    .toSorted((a, b) => b.lengthBytes - a.lengthBytes || a.token.id - b.token.id)
    .map(({ token }) => token);
}

/**
 * Cuts text at special tokens. Each token in turn takes all its occurrences, from the left, in what the ones before it
 * left over; so a longer token wins even where a shorter one begins further left.
 *
 * @param tokens - in search order
 * @returns ids of the tokens found, and the non-empty text between them
 * Source: llama.cpp src/llama-vocab.cpp, tokenizer_st_partition.
 */
export function splitAtSpecialTokens(text: string, tokens: readonly SpecialToken[]): (string | number)[] {
  let fragments: (string | number)[] = text === '' ? [] : [text];
  for (const { id, text: spelling } of tokens) {
    if (!text.includes(spelling)) continue;
    const finer: (string | number)[] = [];
    for (const fragment of fragments) {
      if (typeof fragment === 'number') {
        finer.push(fragment);
        continue;
      }
      for (const [index, between] of fragment.split(spelling).entries()) {
        if (index > 0) finer.push(id);
        if (between !== '') finer.push(between);
      }
    }
    fragments = finer;
  }
  return fragments;
}
