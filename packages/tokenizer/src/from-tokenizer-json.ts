import { BPE, Tokenizer as Components } from '@huggingface/tokenizers';
import { END_OF_GENERATION_TEXTS, isControl, TOKEN_TYPE, type TokenizerCore } from './core.ts';
import { quote, TokenizerError } from './errors.ts';
import { checkWordLengths, withinStack } from './pre-tokenizers.ts';
import { SPACE } from './sentence-pieces.ts';
import { type AddedToken, leftmostSplitter } from './special-tokens.ts';

/** A JSON object whose values are yet to be checked. */
type Json = Readonly<Record<string, unknown>>;

interface JsonToken extends AddedToken {
  readonly special: boolean;
  readonly normalized: boolean;
}

/**
 * The tokenizer of a Hugging Face `tokenizer.json`, of model BPE.
 *
 * Normalizer, pre-tokenizer and merging are those of the library `@huggingface/tokenizers`. Its added tokens are not
 * used: it parses special tokens in any text. So added tokens are cut out here, and the library sees only what lies
 * between them, with a vocabulary in which special tokens do not occur.
 *
 * @param json - parsed
 * @param config - tokenizer_config.json, parsed; without it EOS is known only where the post-processor adds it
 * @throws TokenizerError
 */
export function coreFromTokenizerJson(json: unknown, config: unknown, warn: (message: string) => void): TokenizerCore {
  const file = asObject(json, 'tokenizer.json');
  const settings = config === undefined ? {} : asObject(config, 'tokenizer_config.json');
  const model = asObject(file.model, 'model');
  if (model.type !== 'BPE' && !(model.type === undefined && Array.isArray(model.merges))) {
    throw unsupported(`model ${quote(model.type)}`, 'BPE');
  }
  for (const key of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix'] as const) {
    if (model[key] !== undefined && model[key] !== null && model[key] !== '')
      throw unsupported(`BPE with ${key}`, 'without');
  }
  const added = readAddedTokens(file.added_tokens);
  const { tokens, types, ids } = readTokens(model, added);
  const unknown = typeof model.unk_token === 'string' ? model.unk_token : undefined;
  if (unknown !== undefined) {
    const id = ids.get(unknown);
    if (id === undefined) throw bad('model.unk_token', `${quote(unknown)} is no token`);
    types[id] = TOKEN_TYPE.unknown;
  }

  const template = readPostProcessor(file.post_processor, ids);
  const bosId = template.before ?? named('bos_token');
  const eosId = template.after ?? named('eos_token');
  const addBos = readBoolean(settings, 'add_bos_token') ?? template.before !== undefined;
  const addEos = readBoolean(settings, 'add_eos_token') ?? template.after !== undefined;
  if (addBos && bosId === undefined) throw missing('bos_token', 'BOS is to be added to every text.');
  if (addEos && eosId === undefined) throw missing('eos_token', 'EOS is to be added to every text.');
  const eogIds = new Set<number>();
  for (const text of END_OF_GENERATION_TEXTS) {
    const id = ids.get(text);
    if (id !== undefined && isControl(types[id]!)) eogIds.add(id);
  }
  if (eosId === undefined)
    warn('No EOS is known. It stands in tokenizer_config.json (eos_token), which is missing or silent.');
  else eogIds.add(eosId);

  const merges = readMerges(model.merges);
  const special = new Set(added.filter((token) => token.special && token.text !== unknown).map(({ text }) => text));
  const plainVocabulary = Object.fromEntries(
    [...ids].filter(([token]) => !special.has(token) && !addedOutsideModel(token)),
  );
  const { normalize, split } = createComponents(file);
  const bpe = new BPE({
    type: 'BPE',
    vocab: plainVocabulary,
    merges,
    unk_token: unknown,
    fuse_unk: model.fuse_unk === true,
    byte_fallback: model.byte_fallback === true,
    ignore_merges: model.ignore_merges === true,
  } as unknown as ConstructorParameters<typeof BPE>[0]);
  const splitAtNormalized = leftmostSplitter(
    normalize === undefined
      ? []
      : added
          .filter((token) => token.normalized && !token.special)
          .map((token) => ({ ...token, text: normalize(token.text) })),
  );
  const matched = added.filter((token) => normalize === undefined || !token.normalized || token.special);
  const { spelling, dropsFirstSpace } = readDecoder(file.decoder);

  return {
    model: spelling === 'bytes' ? 'gpt2' : 'bpe',
    pre: preTokenizerName(file),
    tokens,
    types,
    spelling,
    dropsFirstSpace,
    addedTokens: added,
    splitAtAll: leftmostSplitter(matched),
    splitAtPlain: leftmostSplitter(matched.filter((token) => !token.special)),
    bosId,
    eosId,
    paddingId: named('pad_token'),
    eogIds,
    addBos,
    addEos,
    encodeText,
    rules: () => ({
      merges,
      ignoreMerges: model.ignore_merges === true,
      ...(file.normalizer === null || file.normalizer === undefined ? {} : { normalizer: file.normalizer }),
      ...(model.byte_fallback === true ? { byteFallback: true } : {}),
      ...(unknown === undefined ? {} : { unknown, fuse: model.fuse_unk === true }),
    }),
  };

  function encodeText(text: string, out: number[], _afterToken: boolean, isFirst: boolean): void {
    for (const fragment of splitAtNormalized(normalize?.(text) ?? text)) {
      if (fragment.id !== undefined) {
        out.push(fragment.id);
        continue;
      }
      const words = withinStack(() => split(fragment.text, isFirst));
      checkWordLengths(words);
      for (const piece of bpe(words)) {
        const id = ids.get(piece);
        if (id !== undefined) out.push(id);
      }
    }
  }

  function addedOutsideModel(token: string): boolean {
    return !Object.hasOwn(asObject(model.vocab, 'model.vocab'), token);
  }

  /** The id of a token that tokenizer_config.json names, as text or as an object with `content`. */
  function named(key: string): number | undefined {
    const value = settings[key];
    if (value === undefined || value === null) return undefined;
    const text = typeof value === 'string' ? value : (value as Json).content;
    const id = typeof text === 'string' ? ids.get(text) : undefined;
    if (id === undefined) throw bad(key, `${quote(text)} is no token of tokenizer.json`);
    return id;
  }
}

function createComponents(file: Json): {
  normalize: ((text: string) => string) | undefined;
  split: (text: string, isFirst: boolean) => string[];
} {
  let components: Components;
  try {
    components = new Components(
      {
        model: { type: 'BPE', vocab: {}, merges: [] },
        added_tokens: [],
        normalizer: file.normalizer ?? null,
        pre_tokenizer: file.pre_tokenizer ?? null,
        post_processor: null,
        decoder: null,
      },
      {},
    );
  } catch (error) {
    throw new TokenizerError(
      'TOKENIZER_UNSUPPORTED',
      `The normalizer or pre-tokenizer of tokenizer.json cannot be used: ${error instanceof Error ? error.message : ''}`,
      { cause: error },
    );
  }
  const { normalizer, pre_tokenizer: preTokenizer } = components;
  return {
    normalize: normalizer === null ? undefined : (text) => normalizer(text),
    split: (text, isFirst) => {
      if (text === '') return [];
      // The library's name for the place of a piece among those that the added tokens leave.
      return preTokenizer === null ? [text] : preTokenizer(text, { section_index: isFirst ? 0 : 1 });
    },
  };
}

/** Pre-tokenizers that have a name in GGUF files, by the expression of their Split. */
const EXPRESSIONS: ReadonlyMap<string, string> = new Map([
  [
    String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    'llama-bpe',
  ],
  [
    String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    'qwen2',
  ],
]);

/** The GGUF name where there is one, else the pre-tokenizer's own JSON. */
function preTokenizerName(file: Json): string {
  const value = file.pre_tokenizer as Json | null | undefined;
  if (value === null || value === undefined) return 'none';
  const steps =
    value.type === 'Sequence' && Array.isArray(value.pretokenizers) ? (value.pretokenizers as Json[]) : [value];
  const [split, bytes] = steps;
  if (
    steps.length === 1 &&
    split?.type === 'ByteLevel' &&
    split.add_prefix_space !== true &&
    split.use_regex !== false
  ) {
    return 'gpt-2';
  }
  if (steps.length === 2 && split?.type === 'Split' && split.behavior === 'Isolated' && split.invert !== true) {
    const name = EXPRESSIONS.get(String((split.pattern as Json | undefined)?.Regex));
    if (
      name !== undefined &&
      bytes?.type === 'ByteLevel' &&
      bytes.add_prefix_space !== true &&
      bytes.use_regex === false
    ) {
      return name;
    }
  }
  return JSON.stringify(value);
}

function readAddedTokens(value: unknown): JsonToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw bad('added_tokens', `is ${quote(value)}, not an array`);
  return value.map((entry, index) => {
    const token = asObject(entry, `added_tokens[${index}]`);
    const { id, content } = token;
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0)
      throw bad(`added_tokens[${index}].id`, `is ${quote(id)}`);
    if (typeof content !== 'string' || content === '' || !content.isWellFormed()) {
      throw bad(`added_tokens[${index}].content`, `is ${quote(content)}`);
    }
    return {
      id,
      text: content,
      lstrip: token.lstrip === true,
      rstrip: token.rstrip === true,
      singleWord: token.single_word === true,
      special: token.special === true,
      normalized: typeof token.normalized === 'boolean' ? token.normalized : token.special !== true,
    };
  });
}

/** Largest vocabulary that is taken for one; an id beyond it is a damaged file. */
const MAX_VOCABULARY = 2 ** 22;

function readTokens(
  model: Json,
  added: readonly JsonToken[],
): { tokens: string[]; types: Uint8Array; ids: Map<string, number> } {
  const byId: string[] = [];
  const ids = new Map<string, number>();
  const put = (text: string, id: unknown, where: string): void => {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MAX_VOCABULARY) {
      throw bad(where, `gives ${quote(text)} the id ${quote(id)}`);
    }
    if (!text.isWellFormed()) throw bad(where, `has ${quote(text)}, not well-formed text`);
    if ((byId[id] ?? text) !== text || (ids.get(text) ?? id) !== id) {
      throw new TokenizerError(
        'TOKENIZER_DUPLICATE_TOKEN',
        `${where} gives ${quote(text)} the id ${id}, which disagrees with an earlier token (${quote(byId[id] ?? text)}).`,
      );
    }
    byId[id] = text;
    ids.set(text, id);
  };
  for (const [text, id] of Object.entries(asObject(model.vocab, 'model.vocab'))) put(text, id, 'model.vocab');
  for (const token of added) put(token.text, token.id, 'added_tokens');
  if (byId.length === 0) throw bad('model.vocab', 'has no tokens');

  // Ids without a token are filled as llama.cpp's converter fills them.
  const tokens = Array.from(byId, (text: string | undefined, id) => text ?? `[PAD${id}]`);
  const types = Uint8Array.from(tokens, (text, id) => {
    if (byId[id] === undefined) return TOKEN_TYPE.unused;
    return model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(text) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal;
  });
  for (const { id, special } of added) types[id] = special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined;
  return { tokens, types, ids };
}

function readMerges(value: unknown): [string, string][] {
  if (!Array.isArray(value)) throw bad('model.merges', `is ${quote(value)}, not an array`);
  return value.map((merge: unknown) => {
    const pair = typeof merge === 'string' ? halves(merge) : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((half) => typeof half === 'string' && half !== '')) {
      throw new TokenizerError('TOKENIZER_BAD_MERGE', `Merge ${quote(merge)} (model.merges) is not two pieces.`);
    }
    return pair as [string, string];
  });
}

function halves(merge: string): [string, string] {
  const space = merge.indexOf(' ', 1);
  return [merge.slice(0, Math.max(space, 0)), merge.slice(space + 1)];
}

/** The tokens that are put before and after a text. */
function readPostProcessor(
  value: unknown,
  ids: ReadonlyMap<string, number>,
): { before: number | undefined; after: number | undefined } {
  const nothing = { before: undefined, after: undefined };
  if (value === null || value === undefined) return nothing;
  const step = asObject(value, 'post_processor');
  if (step.type === 'ByteLevel') return nothing;
  if (step.type === 'Sequence' && Array.isArray(step.processors)) {
    const found = step.processors.map((processor) => readPostProcessor(processor, ids));
    return {
      before: found.find(({ before }) => before !== undefined)?.before,
      after: found.find(({ after }) => after !== undefined)?.after,
    };
  }
  if (step.type === 'TemplateProcessing' && Array.isArray(step.single)) {
    const items = step.single.map((item) => (item as { SpecialToken?: { id?: unknown } }).SpecialToken?.id);
    const text = items.indexOf(undefined);
    const [before, ...moreBefore] = items.slice(0, Math.max(text, 0));
    const [after, ...moreAfter] = items.slice(text + 1);
    if (text < 0 || moreBefore.length > 0 || moreAfter.length > 0) {
      throw unsupported('a template with several tokens beside the text', 'at most one before it and one after it');
    }
    return { before: idOf(before), after: idOf(after) };
  }
  throw unsupported(`post-processor ${quote(step.type)}`, 'ByteLevel, TemplateProcessing, Sequence');

  function idOf(text: unknown): number | undefined {
    if (text === undefined) return undefined;
    const id = typeof text === 'string' ? ids.get(text) : undefined;
    if (id === undefined) throw bad('post_processor', `adds ${quote(text)}, which is no token`);
    return id;
  }
}

function readDecoder(value: unknown): Pick<TokenizerCore, 'spelling' | 'dropsFirstSpace'> {
  const decoder = value === null || value === undefined ? {} : asObject(value, 'decoder');
  const steps =
    decoder.type === 'Sequence' && Array.isArray(decoder.decoders) ? (decoder.decoders as Json[]) : [decoder];
  const kinds = steps.map(({ type }) => type);
  if (kinds.join() === 'ByteLevel') return { spelling: 'bytes', dropsFirstSpace: false };
  if (kinds.join() === 'Metaspace' && (decoder.replacement ?? SPACE) === SPACE) {
    const never = decoder.prepend_scheme === 'never' || decoder.add_prefix_space === false;
    return { spelling: 'spaces', dropsFirstSpace: !never };
  }
  const [replace, ...others] = steps;
  const strip = others.find(({ type }) => type === 'Strip');
  if (
    replace?.type === 'Replace' &&
    (replace.pattern as Json | undefined)?.String === SPACE &&
    replace.content === ' ' &&
    others.every(({ type }) => type === 'ByteFallback' || type === 'Fuse' || type === 'Strip') &&
    (strip === undefined || (strip.content === ' ' && strip.start === 1 && strip.stop === 0))
  ) {
    return { spelling: 'spaces', dropsFirstSpace: strip !== undefined };
  }
  throw unsupported(
    `decoder ${quote(kinds.join(', '))}`,
    'ByteLevel, Metaspace, or Replace with ByteFallback, Fuse, Strip',
  );
}

function readBoolean(settings: Json, key: string): boolean | undefined {
  const value = settings[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw bad(key, `is ${quote(value)}, not true or false`);
  return value;
}

function asObject(value: unknown, where: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(where, `is ${quote(value)}, not an object`);
  }
  return value as Json;
}

function bad(where: string, what: string): TokenizerError {
  return new TokenizerError('TOKENIZER_BAD_JSON', `tokenizer.json: ${where} ${what}.`);
}

function missing(key: string, why: string): TokenizerError {
  return new TokenizerError('TOKENIZER_MISSING_KEY', `tokenizer_config.json lacks "${key}". ${why}`);
}

function unsupported(what: string, known: string): TokenizerError {
  return new TokenizerError('TOKENIZER_UNSUPPORTED', `tokenizer.json has ${what}. Supported: ${known}.`);
}
