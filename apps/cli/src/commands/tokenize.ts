import type { Command } from 'commander';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { openModelFile } from '../model-file.ts';
import { jsonOption } from '../options.ts';
import { printable, table, writeJson } from '../output.ts';

interface TokenizeOptions {
  readonly model: string;
  readonly prompt: string;
  readonly special?: true;
  readonly bos: boolean;
  readonly json?: true;
}

export function addTokenizeCommand(program: Command, io: Io): void {
  program
    .command('tokenize')
    .description("Print a text's token ids and their pieces.")
    .requiredOption('-m, --model <file>', 'GGUF file with the tokenizer')
    .requiredOption('-p, --prompt <text>', 'the text')
    .option('--special', 'special tokens written in the text, such as <|eot_id|>, become these tokens')
    .option('--no-bos', "no BOS token in front, whatever the file's rule")
    .addOption(jsonOption())
    .addHelpText('after', `\nExample:\n  bittern tokenize -m model.gguf -p "Once upon a time"\n\n${EXIT_CODES_HELP}`)
    .action((options: TokenizeOptions) => tokenize(options, io));
}

async function tokenize({ model, prompt, special, bos, json }: TokenizeOptions, io: Io): Promise<void> {
  await using file = await openModelFile(model, io);
  const tokenizer = file.tokenizer();
  const ids = tokenizer.encode(prompt, { parseSpecial: special === true, ...(bos ? {} : { addBos: false }) });
  const pieces = ids.map((id) => tokenizer.piece(id));
  const rows = ids.map((id, index) => [String(id), printable(JSON.stringify(pieces[index]))]);
  await (json ? writeJson(io, { ids, pieces }) : io.stdout.write(table(rows)));
}
