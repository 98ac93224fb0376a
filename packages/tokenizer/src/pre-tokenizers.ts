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

/** Longest word, in UTF-16 units. The reference has no limit; here merging one million letters takes some 300 MB. */
const MAX_WORD_LENGTH = 2 ** 20;

// The parts of the reference's expressions, with its character classes. Sources, for the expressions and for the names
// below: ggml-org/llama.cpp at 00ad355, src/llama-vocab.cpp, llm_tokenizer_bpe and llama_vocab::impl::load; for
// `llama-bpe` and `default` the same functions in Eddie-Wang1120/llama.cpp at 406a503, which bitnet.cpp builds.
const CONTRACTION = `'s|'t|'re|'ve|'m|'ll|'d`;
const CONTRACTION_ANY_CASE = `'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]`;
const WHITESPACE_BEFORE_WHITESPACE = `${WHITESPACE}+(?![^${WHITESPACE}])`;
const OTHERS = `[^${WHITESPACE}${LETTER}${NUMBER}]+`;
const NO_LETTER_FIRST = String.raw`[^\r\n${LETTER}${NUMBER}]?`;
const LINE_BREAKS = String.raw`${WHITESPACE}*[\r\n]+`;
const BLANKS = [LINE_BREAKS, WHITESPACE_BEFORE_WHITESPACE, `${WHITESPACE}+`];

const GPT_2 = pattern(CONTRACTION, ` ?${LETTER}+`, ` ?${NUMBER}+`, ` ?${OTHERS}`, WHITESPACE_BEFORE_WHITESPACE);
const DIGIT = pattern(NUMBER);
const PUNCTUATION_RUN = pattern(String.raw`[${PUNCTUATION}\$\+<=>\^~\|]+`);

/** LLaMA 3's expression with another rule for numbers. */
function llama3Like(number: string): RegExp {
  return pattern(
    CONTRACTION_ANY_CASE,
    `${NO_LETTER_FIRST}${LETTER}+`,
    number,
    String.raw` ?${OTHERS}[\r\n]*`,
    ...BLANKS,
  );
}

/**
 * Words cut where a capital follows a small letter. Of letters only A to Z count as capitals and a to z as small; all
 * others are both, as in the reference, which looks at classes of characters here and not at characters.
 */
function casedWords(suffix: string, number: string): RegExp {
  const upper = `[${LETTER}--[a-z]]`;
  const lower = `[${LETTER}--[A-Z]]`;
  return pattern(
    `${NO_LETTER_FIRST}${upper}*${lower}+${suffix}`,
    `${NO_LETTER_FIRST}${upper}+${lower}*${suffix}`,
    number,
    String.raw` ?${OTHERS}[\r\n\/]*`,
    ...BLANKS,
  );
}

const LLAMA_3 = llama3Like(`${NUMBER}{1,3}`);
const QWEN_2 = llama3Like(NUMBER);
const WORDS_OF_BLOOM = pattern(String.raw` ?[^\(\|\.,!?…。，、।۔،\)${WHITESPACE}]+`);
const CJK = pattern('[一-龥ࠀ-一가-\u{d7ff}]+');
/** Letters as DeepSeek's expression lists them: most of those with a capital and a small form. */
const CASED_LETTERS = String.raw`A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}`;

/** By the names that `tokenizer.ggml.pre` may have; the first is ours. */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ...family('llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2', [LLAMA_3], {
    ignoreMerges: true,
    addBos: true,
  }),
  ...family('default', [PUNCTUATION_RUN, GPT_2, pattern(`${NUMBER}+`), pattern('[0-9][0-9][0-9]')]),
  ...family('gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert', [GPT_2]),
  ...family('gpt-2 jina-es jina-de jina-v2-es jina-v2-de', [GPT_2]),
  ...family('starcoder refact command-r smollm codeshell exaone minerva-7b mellum2', [DIGIT, GPT_2]),
  ...family('falcon', [pattern(String.raw`[${PUNCTUATION}\$\+<=>\^~\|\`]+`), GPT_2, pattern('[0-9][0-9][0-9]')]),
  ...family('qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2', [QWEN_2]),
  ...family('dbrx smaug-bpe chatglm-bpe glm4', [LLAMA_3]),
  ...family('minicpm5', [pattern(`${NUMBER}{1,3}`), llama3Like(`${NUMBER}+`)], { ignoreMerges: true }),
  ...family('deepseek-llm', [
    pattern(String.raw`[\r\n]`),
    pattern(`${WHITESPACE}?[${CASED_LETTERS}]+`),
    pattern(String.raw`${WHITESPACE}?[!-\/:-~！-／：-～‘-‟\u{3000}-。]+`),
    pattern(`${WHITESPACE}+$`),
    CJK,
    pattern(`${NUMBER}+`),
  ]),
  ...family('deepseek-coder', [
    pattern(String.raw`[\r\n]`),
    pattern(`${WHITESPACE}?${LETTER}+`),
    pattern(`${WHITESPACE}?${PUNCTUATION}+`),
    CJK,
    DIGIT,
  ]),
  ...family('bloom poro-chat gpt3-finnish', [WORDS_OF_BLOOM]),
  ...family('viking', [WORDS_OF_BLOOM, DIGIT]),
  ...family('tekken', [casedWords('', NUMBER)], { ignoreMerges: true, addBos: true }),
  ...family('gpt-4o llama4 kanana2 talkie minimax-m2', [casedWords(`(?:${CONTRACTION_ANY_CASE})?`, `${NUMBER}{1,3}`)]),
]);

/** @throws TokenizerError TOKENIZER_UNKNOWN_PRE: another split would give other ids without any sign of it */
export function preTokenizerNamed(name: string): PreTokenizer {
  const found = PRE_TOKENIZERS.get(name);
  if (found === undefined) {
    throw new TokenizerError(
      'TOKENIZER_UNKNOWN_PRE',
      `Unknown pre-tokenizer ${quote(name)} (key "tokenizer.ggml.pre" or option \`pre\`). ` +
        `Known: ${preTokenizerNames().join(', ')}.`,
    );
  }
  return found;
}

/** All names that `tokenizer.ggml.pre` and the option `pre` may have. */
export function preTokenizerNames(): string[] {
  return [...PRE_TOKENIZERS.keys()];
}

/**
 * The words of `text` in order; joined they are `text` again.
 * @throws TokenizerError TOKENIZER_TEXT_TOO_LONG for a word of more than 2^20 UTF-16 units
 */
export function splitIntoWords(text: string, preTokenizer: PreTokenizer): string[] {
  let pieces = [text];
  for (const regex of preTokenizer.patterns) {
    const finer: string[] = [];
    for (const piece of pieces) splitPiece(piece, regex, finer);
    pieces = finer;
  }
  checkWordLengths(pieces);
  return pieces;
}

/** @throws TokenizerError TOKENIZER_TEXT_TOO_LONG */
export function checkWordLengths(words: readonly string[]): void {
  for (const word of words) {
    if (word.length > MAX_WORD_LENGTH) throw tooLong();
  }
}

/**
 * What `split` gives.
 * @throws TokenizerError TOKENIZER_TEXT_TOO_LONG where a run is too long for the stack of the regular expression engine
 *   (in V8 some ten million letters)
 */
export function withinStack<T>(split: () => T): T {
  try {
    return split();
  } catch (error) {
    if (error instanceof RangeError) throw tooLong(error);
    throw error;
  }
}

function tooLong(cause?: unknown): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_TEXT_TOO_LONG',
    `The text has a run of more than ${MAX_WORD_LENGTH} letters, digits, marks or spaces without a break. Break it up.`,
    { cause },
  );
}

/** Matches and what lies between them. */
function splitPiece(piece: string, regex: RegExp, out: string[]): void {
  let end = 0;
  regex.lastIndex = 0;
  // Not matchAll, which copies the expression for each piece: encoding with `default` took twice as long. No pattern
  // matches the empty string.
  for (let match = next(); match !== null; match = next()) {
    if (match.index > end) out.push(piece.slice(end, match.index));
    out.push(match[0]);
    end = regex.lastIndex;
  }
  if (end < piece.length) out.push(piece.slice(end));

  function next(): RegExpExecArray | null {
    return withinStack(() => regex.exec(piece));
  }
}

function pattern(...alternatives: string[]): RegExp {
  return new RegExp(alternatives.join('|'), 'gv');
}

/** One way to split under all its names. */
function family(
  names: string,
  patterns: readonly RegExp[],
  { ignoreMerges = false, addBos = false } = {},
): [string, PreTokenizer][] {
  const all = names.split(' ');
  return all.map((name) => [name, { name: all[0]!, patterns, ignoreMerges, addBos }]);
}
