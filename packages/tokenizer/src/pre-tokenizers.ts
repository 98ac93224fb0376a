import { quote, TokenizerError } from './errors.ts';
import { LETTER, NUMBER, PUNCTUATION, WHITESPACE } from './unicode.ts';

/** How text is cut into words before byte pairs are merged within each. */
export interface PreTokenizer {
  readonly name: string;
  /** Applied in sequence, each to the pieces that the ones before it left. Flags `g` and `v`. */
  readonly patterns: readonly RegExp[];
  /** Whether a word that is a token as a whole becomes that token, whatever the merges say. */
  readonly ignoreMerges: boolean;
  /** Whether BOS is added where the file does not say. */
  readonly addBos: boolean;
}

const CONTRACTION = `'s|'t|'re|'ve|'m|'ll|'d`;
const CONTRACTION_ANY_CASE = `'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]`;
const WHITESPACE_BEFORE_WHITESPACE = `${WHITESPACE}+(?![^${WHITESPACE}])`;

/** Source: llama.cpp src/llama-vocab.cpp, llm_tokenizer_bpe, LLAMA_VOCAB_PRE_TYPE_LLAMA3; src/llama.cpp, llm_load_vocab. */
const LLAMA_BPE: PreTokenizer = {
  name: 'llama-bpe',
  patterns: [
    pattern(
      CONTRACTION_ANY_CASE,
      String.raw`[^\r\n${LETTER}${NUMBER}]?${LETTER}+`,
      `${NUMBER}{1,3}`,
      String.raw` ?[^${WHITESPACE}${LETTER}${NUMBER}]+[\r\n]*`,
      String.raw`${WHITESPACE}*[\r\n]+`,
      WHITESPACE_BEFORE_WHITESPACE,
      `${WHITESPACE}+`,
    ),
  ],
  ignoreMerges: true,
  addBos: true,
};

/** Source: the same function, `default:` branch. */
const DEFAULT: PreTokenizer = {
  name: 'default',
  patterns: [
    pattern(String.raw`[${PUNCTUATION}\$\+<=>\^~\|]+`),
    pattern(
      CONTRACTION,
      ` ?${LETTER}+`,
      ` ?${NUMBER}+`,
      ` ?[^${WHITESPACE}${LETTER}${NUMBER}]+`,
      WHITESPACE_BEFORE_WHITESPACE,
    ),
    pattern(`${NUMBER}+`),
    pattern('[0-9][0-9][0-9]'),
  ],
  ignoreMerges: false,
  addBos: false,
};

/** By the value of `tokenizer.ggml.pre`. */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['llama-bpe', LLAMA_BPE],
  ['llama3', LLAMA_BPE],
  ['llama-v3', LLAMA_BPE],
  ['default', DEFAULT],
]);

/** @throws TokenizerError TOKENIZER_UNKNOWN_PRE: another split would give other ids without any sign of it */
export function preTokenizerNamed(name: string): PreTokenizer {
  const found = PRE_TOKENIZERS.get(name);
  if (found === undefined) {
    throw new TokenizerError(
      'TOKENIZER_UNKNOWN_PRE',
      `Unknown pre-tokenizer ${quote(name)} (key "tokenizer.ggml.pre" or option \`pre\`). ` +
        `Known: ${[...PRE_TOKENIZERS.keys()].join(', ')}.`,
    );
  }
  return found;
}

/** The words of `text` in order; joined they are `text` again. */
export function splitIntoWords(text: string, preTokenizer: PreTokenizer): string[] {
  let pieces = [text];
  for (const regex of preTokenizer.patterns) {
    const finer: string[] = [];
    for (const piece of pieces) splitPiece(piece, regex, finer);
    pieces = finer;
  }
  return pieces;
}

/** Matches and what lies between them. */
function splitPiece(piece: string, regex: RegExp, out: string[]): void {
  let end = 0;
  // Not matchAll, which copies the expression for each piece: encoding with `default` took twice as long. The loop leaves
  // lastIndex at 0, and no pattern matches the empty string.
  for (let match = regex.exec(piece); match !== null; match = regex.exec(piece)) {
    if (match.index > end) out.push(piece.slice(end, match.index));
    out.push(match[0]);
    end = regex.lastIndex;
  }
  if (end < piece.length) out.push(piece.slice(end));
}

function pattern(...alternatives: string[]): RegExp {
  return new RegExp(alternatives.join('|'), 'gv');
}
