import { open } from 'node:fs/promises';
import { openGguf } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import {
  type GgufTokenizer,
  type ResolvedTokenizer,
  resolveTokenizer,
  type TokenizerFiles,
  type TokenizerSources,
} from '@bittern/tokenizer';
import { readTokenizerBeside, readTokenizerFiles } from '@bittern/tokenizer/node';
import { inFile, UsageError } from './errors.ts';
import type { Io } from './io.ts';
import type { ModelFile } from './model-file.ts';
import { printable, warn } from './output.ts';

/** What the user said about the tokenizer, by the names of the options. */
export interface TokenizerSelection {
  /** A tokenizer.json or a GGUF file, in place of the model's own. */
  readonly tokenizer?: string;
  /** Pre-tokenizer in place of the one that a GGUF file names. */
  readonly pre?: string;
}

export interface LoadedTokenizer extends ResolvedTokenizer {
  /** GGUF key `general.architecture` of the model, else of the file that was chosen. */
  readonly architecture: string | undefined;
}

/** A tokenizer in JSON documents. */
export interface TokenizerIdentity {
  readonly file: string;
  readonly source: keyof TokenizerSources;
  readonly reason: string;
  readonly digest: string;
  readonly model: string;
  readonly pre: string;
  readonly vocabSize: number;
}

/**
 * The only way in which a command comes to a tokenizer: what the user chose, else the model's own, else the
 * tokenizer.json beside it. Warnings go to stderr.
 */
export async function loadTokenizer(
  model: ModelFile | undefined,
  { tokenizer: path, pre }: TokenizerSelection,
  io: Io,
): Promise<LoadedTokenizer> {
  const gguf = model && { name: model.path, metadata: model.gguf.metadata };
  const explicit = path === undefined ? undefined : await readTokenizer(path, io);
  const beside = model && explicit === undefined ? await readTokenizerBeside(model.path) : undefined;
  const name = path ?? model?.path ?? 'tokenizer';
  try {
    const resolved = await resolveTokenizer(
      { ...(explicit && { explicit }), ...(gguf && { gguf }), ...(beside && { beside }) },
      { ...(pre !== undefined && { pre }), onWarning: (message) => warn(io, inOptions(`${name}: ${message}`)) },
    );
    const metadata = gguf?.metadata ?? (explicit && 'metadata' in explicit ? explicit.metadata : undefined);
    const architecture = metadata?.get('general.architecture');
    return { ...resolved, architecture: typeof architecture === 'string' ? architecture : undefined };
  } catch (error) {
    // How the package refuses `pre` for a tokenizer.json.
    if (error instanceof TypeError && pre !== undefined)
      throw new UsageError(inOptions(error.message), { cause: error });
    throw error instanceof Error && error.message.includes(name) ? error : inFile(name, error);
  }
}

/** A file that the user chose. A GGUF file is known by its name or its first four bytes. */
async function readTokenizer(path: string, { signal }: Io): Promise<TokenizerFiles | GgufTokenizer> {
  if (!/\.gguf$/i.test(path) && !(await beginsAsGguf(path))) return readTokenizerFiles(path);
  await using source = await openFile(path);
  return { name: path, metadata: (await openGguf(source, { signal })).metadata };
}

async function beginsAsGguf(path: string): Promise<boolean> {
  await using file = await open(path);
  if (!(await file.stat()).isFile()) {
    throw new UsageError(`${path} is not a regular file; give the path of a tokenizer.json or of a GGUF file.`);
  }
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.toString('latin1', 0, bytesRead) === 'GGUF';
}

/** The package speaks of its options, the user has those of the command line. */
function inOptions(message: string): string {
  return message.replaceAll(/\bpre: '([^']+)'/g, '--pre $1').replaceAll('`pre`', '--pre');
}

export function identityOf({ tokenizer, name, source, reason, digest }: ResolvedTokenizer): TokenizerIdentity {
  const { model, pre, vocabSize } = tokenizer;
  return { file: name, source, reason, digest, model, pre, vocabSize };
}

/** The same for people, as rows of a table. */
export function identityRows(title: string, identity: TokenizerIdentity): string[][] {
  const { file, reason, digest, model, pre, vocabSize } = identity;
  const split = printable(pre.length <= 60 ? pre : `${pre.slice(0, 60)}…`);
  return [
    [title, `${printable(file)} (${printable(reason)})`],
    ['', `model ${model}, pre-tokenizer ${split}, ${vocabSize} tokens`],
    ['', `digest ${digest}`],
  ];
}

/** A tokenizer from elsewhere need not be the one that the model was trained with. */
export function warnIfForeign({ tokenizer, source, name }: ResolvedTokenizer, vocabSize: number, io: Io): void {
  if (source === 'gguf' || tokenizer.vocabSize === vocabSize) return;
  warn(
    io,
    `${name} has ${tokenizer.vocabSize} tokens, the model has ${vocabSize}: they may not belong together. ` +
      "Without --tokenizer the model file's own is used, if it has one.",
  );
}
