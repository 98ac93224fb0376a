import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { childTask, finishChild } from '../child.ts';
import { peakMemoryBytes } from '../peak-memory.ts';

export interface TokenizeTask {
  readonly engine: '@bittern/tokenizer' | 'tokenizers' | 'tiktoken';
  /** A tokenizer.json; for tiktoken, the ranks and the rest that its constructor takes, as JSON. */
  readonly vocabularyPath: string;
  readonly textPaths: readonly string[];
}

export interface Tokenized {
  readonly loadMs: number;
  /** What loading adds to the peak, the library's code not counted. */
  readonly loadMemoryBytes: number;
  readonly peakMemoryBytes: number;
  readonly texts: readonly {
    /** Of the first encoding and of a second one of the same text, which caches may help. */
    readonly firstMs: number;
    readonly againMs: number;
    readonly tokens: number;
    /** Of the ids as i32. */
    readonly sha256: string;
  }[];
}

type Encode = (text: string) => ArrayLike<number> | Promise<ArrayLike<number>>;
type Load = (vocabularyPath: string) => Encode | Promise<Encode>;

/** Each loads its library's code, and gives what loads a vocabulary. The texts hold no control tokens, and none is added. */
const ENGINES: Readonly<Record<TokenizeTask['engine'], () => Promise<Load>>> = {
  async '@bittern/tokenizer'() {
    const { tokenizerFromJson } = await import('@bittern/tokenizer');
    return async (path) => {
      const tokenizer = tokenizerFromJson(JSON.parse(await readFile(path, 'utf8')));
      return (text) => tokenizer.encode(text, { addBos: false });
    };
  },
  async tokenizers() {
    const { Tokenizer } = await import('tokenizers');
    return (path) => {
      const tokenizer = Tokenizer.fromFile(path);
      return async (text) => (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds();
    };
  },
  async tiktoken() {
    const { Tiktoken } = await import('tiktoken');
    return async (path) => {
      const { ranks, pattern } = JSON.parse(await readFile(path, 'utf8')) as { ranks: string; pattern: string };
      const encoding = new Tiktoken(ranks, {}, pattern);
      return (text) => encoding.encode_ordinary(text);
    };
  },
};

const { engine, vocabularyPath, textPaths } = childTask<TokenizeTask>();
const load = await ENGINES[engine]();
const before = peakMemoryBytes();
const start = performance.now();
const encode = await load(vocabularyPath);
const loadMs = performance.now() - start;
const loadMemoryBytes = peakMemoryBytes() - before;

const texts: Tokenized['texts'][number][] = [];
for (const path of textPaths) {
  const text = await readFile(path, 'utf8');
  const times = [performance.now()];
  await encode(text);
  times.push(performance.now());
  const ids = Int32Array.from(await encode(text));
  times.push(performance.now());
  const sha256 = createHash('sha256').update(ids).digest('hex');
  texts.push({ firstMs: times[1]! - times[0]!, againMs: times[2]! - times[1]!, tokens: ids.length, sha256 });
}
finishChild({ loadMs, loadMemoryBytes, peakMemoryBytes: peakMemoryBytes(), texts } satisfies Tokenized);
