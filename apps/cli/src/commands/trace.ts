import { traceHeader } from '@bittern/crossval';
import { type EvaluationMode, matchesGlob, type Numerics, prefill } from '@bittern/engine';
import { type Command, Option } from 'commander';
import { engineIdentity } from '../engine-side.ts';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import {
  jsonOption,
  layoutOption,
  modeOption,
  numericsOption,
  preOption,
  threadsOption,
  tl1KernelOption,
  tl1TilingOption,
  tokenIds,
  tokenizerOption,
} from '../options.ts';
import { writeJson } from '../output.ts';
import { type PromptSelection, readPromptIds } from '../prompt-ids.ts';
import { loadTokenizer, type TokenizerSelection, warnIfForeign } from '../tokenizer-file.ts';
import { TraceFolder } from '../trace-folder.ts';

interface RecordOptions extends LoadOptions, TokenizerSelection, PromptSelection {
  readonly model: string;
  readonly out: string;
  readonly values: string;
  readonly mode: EvaluationMode;
  readonly numerics: Numerics;
  readonly json?: true;
}

/** What `trace record --json` prints. */
interface RecordedDocument {
  readonly folder: string;
  readonly taps: number;
  readonly ids: readonly number[];
}

export function addTraceCommand(program: Command, io: Io): void {
  const examples = `
Examples:
  bittern trace record -m model.gguf -p "Once upon a time" -o traces/ours
  bittern trace record -m model.gguf --ids 1,2,3 --mode sequential --values "l_out-*" -o traces/ours
  bittern trace-diff traces/reference traces/ours

${EXIT_CODES_HELP}`;
  const trace = program
    .command('trace')
    .description('Record what every operation of an evaluation computes.')
    .addHelpText('after', examples);
  trace
    .command('record')
    .description('Write each operation of a prompt with its digest and values: trace.jsonl and values.safetensors.')
    .requiredOption('-m, --model <file>', 'GGUF file')
    .requiredOption('-o, --out <folder>', 'new folder for the two files')
    .addOption(
      new Option('--ids <list>', 'token ids, such as 1,2,3').argParser(tokenIds).conflicts(['idsFile', 'prompt']),
    )
    .addOption(
      new Option('--ids-file <file>', 'file with token ids, between commas or white space').conflicts('prompt'),
    )
    .option('-p, --prompt <text>', 'text to tokenize')
    .addOption(
      new Option('--special', 'special tokens written in the text become these tokens').conflicts(['ids', 'idsFile']),
    )
    .option('--values <pattern>', 'operations whose values are kept, such as "l_out-*"; the others by digest', '*')
    .addOption(tokenizerOption().conflicts(['ids', 'idsFile']))
    .addOption(preOption().conflicts(['ids', 'idsFile']))
    .addOption(modeOption())
    .addOption(numericsOption().default('avx512'))
    .addOption(layoutOption())
    .addOption(tl1TilingOption())
    .addOption(tl1KernelOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText('after', examples)
    .action((options: RecordOptions) => record(options, io));
}

async function record(options: RecordOptions, io: Io): Promise<void> {
  const { model: path, out, values, mode, numerics, json } = options;
  const { signal } = io;
  await using file = await openModelFile(path, io);
  const tokenizer = options.prompt === undefined ? undefined : await loadTokenizer(file, options, io);
  const ids = await readPromptIds(options, tokenizer);
  const sha256 = await sha256OfFile(path, signal);
  using model = await file.load(numerics, options);
  if (tokenizer) warnIfForeign(tokenizer, model.config.vocabSize, io);
  using session = model.createSession();
  session.checkIds(ids); // before a folder is made
  const header = traceHeader(engineIdentity(model, sha256), mode, ids);
  using folder = new TraceFolder(out, header, ({ name }) => matchesGlob(values, name));
  await prefill(session, ids, mode, { signal, onTap: (tap) => folder.add(tap) });
  await folder.commit();
  const document: RecordedDocument = { folder: out, taps: folder.taps, ids };
  await (json
    ? writeJson(io, document)
    : io.stdout.write(`${folder.taps} operations over ${ids.length} tokens written to ${out}\n`));
}
