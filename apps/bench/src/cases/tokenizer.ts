import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { summarize } from '@bittern/measure';
import { type Command, Option } from 'commander';
import { runInChild } from '../child.ts';
import type { Tokenized, TokenizeTask } from '../children/tokenize.ts';
import { EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { byteCharacters, LLAMA3_PATH, readLlama3, type TokenizerJson } from '../llama3.ts';
import { print, takeTurns } from '../measure.ts';
import { addOptions, type CommonOptions, commonOptions, positive } from '../options.ts';
import type { ResultRow } from '../report.ts';
import { benchTexts } from '../texts.ts';

interface TokenizerOptions extends CommonOptions {
  readonly size: number;
}

type Engine = TokenizeTask['engine'];
const ENGINES: readonly Engine[] = ['@bittern/tokenizer', 'tokenizers', 'tiktoken'];

export function addTokenizerCommand(program: Command, io: Io): void {
  const command = program
    .command('tokenizer')
    .description('Measure loading and encoding with the LLaMA 3 vocabulary, beside npm tokenizers and tiktoken.')
    .addHelpText(
      'after',
      `
Each round starts a process for each library, which loads the vocabulary and encodes each text twice; "again" is the
second time. Loading includes reading the file. The setting "ids" tells which texts all of them encode to the same ids.

Examples:
  bittern-bench tokenizer
  bittern-bench tokenizer --size 64 --repeats 20 --json

${EXIT_CODES_HELP}`,
    )
    .action((options: TokenizerOptions) => tokenizer(options, io));
  addOptions(command, [
    new Option('--size <KiB>', 'of each text').default(1024).argParser(positive),
    ...commonOptions({ repeats: 5, warmup: 1 }),
  ]);
}

async function tokenizer(options: TokenizerOptions, io: Io): Promise<void> {
  const { size, repeats, warmup } = options;
  const folder = await mkdtemp(join(tmpdir(), 'bittern-bench-'));
  try {
    const json = readLlama3();
    const texts = Object.entries(benchTexts(size * 1024, json)).map(([name, text]) => ({
      name,
      sizeBytes: Buffer.byteLength(text),
      text,
      path: join(folder, `${name}.txt`),
    }));
    for (const { path, text } of texts) await writeFile(path, text);
    const tiktokenPath = join(folder, 'tiktoken.json');
    await writeFile(tiktokenPath, tiktokenVocabulary(json));

    const recordings = ENGINES.map((engine) => ({ engine, samples: [] as Tokenized[] }));
    const turns = recordings.map(({ engine, samples }) => ({
      async take(isWarmup: boolean) {
        const vocabularyPath = engine === 'tiktoken' ? tiktokenPath : LLAMA3_PATH;
        const task: TokenizeTask = { engine, vocabularyPath, textPaths: texts.map(({ path }) => path) };
        const sample = await runInChild<Tokenized>('tokenize', task, io.signal);
        if (!isWarmup) samples.push(sample);
      },
    }));
    await takeTurns(turns, options, io);

    const results = [
      ...recordings.map(({ engine, samples }) => loadRow(engine, samples)),
      ...texts.flatMap(({ name, sizeBytes }, index) =>
        (['firstMs', 'againMs'] as const).flatMap((pass) =>
          recordings.map(({ engine, samples }): ResultRow => {
            const taken = samples.map((sample) => sample.texts[index]!);
            const durationMs = summarize(taken.map((text) => text[pass]));
            const tokensPerCall = taken[0]!.tokens;
            return {
              name: engine,
              detail: pass === 'firstMs' ? name : `${name}, again`,
              durationMs,
              bytesPerCall: sizeBytes,
              tokensPerCall,
              tokensPerSecond: (1000 * tokensPerCall) / durationMs.median,
            };
          }),
        ),
      ),
    ];
    const ids = texts.map(({ name }, index) => {
      const digests = recordings.flatMap(({ samples }) => samples.map((sample) => sample.texts[index]!.sha256));
      return `${name} ${new Set(digests).size === 1 ? 'same' : 'different'}`;
    });
    const settings = { size, repeats, warmup, ids };
    await print({ command: 'tokenizer', settings, limits: [], results }, options, io);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function loadRow(engine: Engine, samples: readonly Tokenized[]): ResultRow {
  return {
    name: engine,
    detail: 'load',
    durationMs: summarize(samples.map(({ loadMs }) => loadMs)),
    peakMemoryBytes: summarize(samples.map(({ peakMemoryBytes }) => peakMemoryBytes)),
    addedMemoryBytes: summarize(samples.map(({ loadMemoryBytes }) => loadMemoryBytes)),
  };
}

/** What tiktoken's constructor takes: tokens in base64 by rank, after a `!` and the first rank. */
function tiktokenVocabulary({ model, pre_tokenizer: split }: TokenizerJson): string {
  const bytes = new Map(byteCharacters().map((character, byte) => [character, byte]));
  const tokens: string[] = [];
  for (const [spelling, id] of Object.entries(model.vocab)) {
    tokens[id] = Buffer.from(Uint8Array.from(spelling, (character) => bytes.get(character)!)).toString('base64');
  }
  return JSON.stringify({ ranks: `! 0 ${tokens.join(' ')}`, pattern: split.pretokenizers[0].pattern.Regex });
}
