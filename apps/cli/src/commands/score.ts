import { logSumExp, type Numerics } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { readEnvironment } from '../environment.ts';
import { UnusableFileError, UsageError } from '../errors.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import {
  jsonOption,
  layoutOption,
  numericsOption,
  preOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenizerOption,
  wholeNumber,
} from '../options.ts';
import { ProgressLine, table, writeJson } from '../output.ts';
import { readStandardInput, readTextFile } from '../text-input.ts';
import { identityOf, loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';

interface ScoreOptions extends LoadOptions, TokenizerSelection {
  readonly model: string;
  readonly context?: number;
  readonly numerics: Numerics;
  readonly json?: true;
}

export function addScoreCommand(program: Command, io: Io): void {
  program
    .command('score')
    .description('Print how well a model predicts a text: mean negative log-likelihood and perplexity.')
    .argument('<file>', 'UTF-8 text; - reads standard input')
    .requiredOption('-m, --model <file>', 'GGUF file')
    .addOption(
      new Option('--context <count>', 'tokens of a window')
        .default(undefined, "the model's context length")
        .argParser(wholeNumber),
    )
    .addOption(tokenizerOption())
    .addOption(preOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The text is cut into windows that do not overlap, each evaluated from an empty context in
the mode batch-all. If the tokenizer puts BOS in front of a text, every window begins with
one, and every token of the text is scored; else the first of each window is not. The sum
is of natural logarithms, in f64 and in order; the perplexity is e to their mean.

Examples:
  bittern score -m model.gguf story.txt
  bittern score -m model.gguf --context 512 --json - < story.txt

${EXIT_CODES_HELP}`,
    )
    .action((file: string, options: ScoreOptions) => score(file, options, io));
}

async function score(textPath: string, options: ScoreOptions, io: Io): Promise<void> {
  const { model: path, numerics, json } = options;
  const { signal } = io;
  const { variables } = readEnvironment(io);
  const text = textPath === '-' ? await readStandardInput(io) : await readTextFile(textPath, io);
  await using file = await openModelFile(path, io);
  const loaded = await loadTokenizer(file, options, io);
  const { tokenizer } = loaded;
  const ids = tokenizer.encode(text, { addBos: false, addEos: false });
  using model = await file.load(numerics, options);
  warnIfForeign(loaded, model.config.vocabSize, io);
  const { contextLength } = model.config;
  const { context = contextLength } = options;
  if (!(context >= 2 && context <= contextLength)) {
    throw new UsageError(`--context ${context} is not from 2 to ${contextLength}, the model's own.`);
  }
  const windows = windowsOf(ids, tokenizer.addBos ? tokenizer.bosId : undefined, context);
  const scored = windows.reduce((sum, window) => sum + window.length - 1, 0);
  if (scored === 0) {
    throw new UsageError(`${textPath} has ${ids.length} token(s): there is none to predict. Give a longer text.`);
  }

  using session = model.createSession({ contextLength: context });
  using progress = new ProgressLine(io);
  let total = 0;
  let done = 0;
  for (const [index, window] of windows.entries()) {
    session.reset();
    // The logits of the last token would predict what is not in the window.
    await session.evaluate(window.slice(0, -1), {
      logits: 'all',
      signal,
      onLogits(row, position) {
        const logprob = row[window[position + 1]!]! - logSumExp(row);
        if (!Number.isFinite(logprob)) {
          const where = `window ${index}, position ${position}`;
          throw new UnusableFileError(path, new Error(`its logits are not finite (${where}). The model is damaged.`));
        }
        total -= logprob;
        done += 1;
      },
    });
    progress.show(`Scoring: ${Math.floor((100 * done) / scored)} %`);
  }
  progress.clear();

  const meanNll = total / scored;
  const result = {
    tokens: ids.length,
    scored,
    windows: windows.length,
    context,
    meanNll,
    perplexity: Math.exp(meanNll),
  };
  if (json) {
    await writeJson(io, {
      model: { file: path, sha256: await sha256OfFile(path, signal) },
      numerics,
      mode: 'batch-all',
      environment: variables,
      tokenizer: identityOf(loaded),
      text: textPath,
      ...result,
    });
    return;
  }
  await io.stdout.write(
    table([
      ['tokens', `${result.tokens}, ${scored} of them scored, in ${windows.length} window(s) of up to ${context}`],
      ['mean NLL', meanNll.toFixed(6)],
      ['perplexity', result.perplexity.toFixed(4)],
    ]),
  );
}

/** Consecutive pieces of the text, each of at most `context` tokens with the BOS in front. */
function windowsOf(ids: readonly number[], bosId: number | undefined, context: number): number[][] {
  const front = bosId === undefined ? [] : [bosId];
  const windows: number[][] = [];
  for (let from = 0; from < ids.length; from += context - front.length) {
    windows.push([...front, ...ids.slice(from, from + context - front.length)]);
  }
  return windows.filter(({ length }) => length > 1);
}
