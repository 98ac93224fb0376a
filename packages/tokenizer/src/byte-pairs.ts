import { BPE } from '@huggingface/tokenizers';
import { spellBytes } from './byte-map.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Gives the ids of one word, without a look at its neighbours. */
export type WordEncoder = (word: string, out: number[]) => void;

/**
 * Byte-level BPE: merges the pair of lowest rank first, leftmost on ties.
 *
 * Of the library only the merging is used. Its `Tokenizer` always parses added tokens, and it drops pieces that are no
 * token, where the reference falls back to single characters.
 * Source: llama.cpp src/llama-vocab.cpp, llm_tokenizer_bpe_session::tokenize.
 */
export function createWordEncoder(vocabulary: Vocabulary): WordEncoder {
  // The merging needs no vocabulary: ids are looked up here, in a Map, so that a token "__proto__" is one like any other.
  const bpe = new BPE({ type: 'BPE', vocab: {}, merges: [...vocabulary.merges], ignore_merges: false });
  const { plainIds, preTokenizer } = vocabulary;

  return (word, out) => {
    const spelled = spellBytes(word);
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
  };

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
