import { BPE } from '@huggingface/tokenizers';
import { spellBytes } from './byte-map.ts';
import { type PreTokenizer, splitIntoWords } from './pre-tokenizers.ts';

/**
 * Byte-level BPE: cuts text into words and merges in each the pair of lowest rank first, leftmost on ties.
 *
 * Of the library only the merging is used. Its `Tokenizer` always parses added tokens, and it drops pieces that are no
 * token, where the reference falls back to single characters.
 * Source: llama.cpp src/llama-vocab.cpp, llm_tokenizer_bpe_session::tokenize.
 *
 * @param merges - left and right halves, best rank first, no pair twice
 * @param plainIds - ids of the tokens that ordinary text can become
 * @returns appends the ids of a text
 */
export function bytePairEncoder(
  merges: readonly [string, string][],
  plainIds: ReadonlyMap<string, number>,
  preTokenizer: PreTokenizer,
): (text: string, out: number[]) => void {
  // The merging needs no vocabulary: ids are looked up here, in a Map, so that a token "__proto__" is one like any other.
  const bpe = new BPE({ type: 'BPE', vocab: {}, merges: [...merges], ignore_merges: false });

  return (text, out) => {
    for (const word of splitIntoWords(text, preTokenizer)) pushWord(spellBytes(word), out);
  };

  function pushWord(spelled: string, out: number[]): void {
    if (preTokenizer.ignoreMerges) {
      const id = plainIds.get(spelled);
      if (id !== undefined) {
        out.push(id);
        return;
      }
    }
    for (const piece of bpe.bpe(spelled)) {
      const id = plainIds.get(piece);
      if (id === undefined) pushCharacters(piece, out);
      else out.push(id);
    }
  }

  /**
   * A piece that is no token. The reference looks up each byte of its spelling, which finds the ASCII characters and
   * drops the others. Complete vocabularies never get here, and loading any other one warns.
   */
  function pushCharacters(piece: string, out: number[]): void {
    for (const character of piece) {
      const id = character < '\u0080' ? plainIds.get(character) : undefined;
      if (id !== undefined) out.push(id);
    }
  }
}
