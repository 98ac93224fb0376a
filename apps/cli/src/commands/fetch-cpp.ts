import { resolve } from 'node:path';
import {
  bitnetFolder,
  exportStatement,
  FOLDER_VARIABLE,
  fetchBitnet,
  fetchedLlamaFolder,
  fetchLlama,
  type LibraryBackend,
  type Place,
  preflightAt,
  removeFetched,
} from '@bittern/cpp-bridge';
import { type Command, Option } from 'commander';
import { UsageError } from '../errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption } from '../options.ts';
import { printable, ProgressLine, writeJson } from '../output.ts';
import { documentOf, textOf } from '../preflight-report.ts';

interface FetchCppOptions {
  readonly backend: LibraryBackend;
  readonly version?: string;
  readonly repo?: string;
  readonly ref?: string;
  readonly build?: string;
  readonly dir?: string;
  readonly force?: true;
  readonly clean?: true;
  readonly json?: true;
}

/** @param setExitCode - called with the one for a reference that was fetched but cannot be used */
export function addFetchCppCommand(program: Command, io: Io, setExitCode: (code: ExitCode) => void): void {
  program
    .command('fetch-cpp')
    .description('Get a C++ reference: llama.cpp from npm, or a bitnet.cpp from git with a build command of yours.')
    .addOption(new Option('--backend <name>', 'which of the two').choices(['llama', 'bitnet']).makeOptionMandatory())
    .option('--version <version>', 'llama: of the npm package, exact (default: the one that is pinned)')
    .option('--repo <url>', 'bitnet: what git clones, with its submodules')
    .option('--ref <commit>', 'bitnet: the whole digest of the commit; branches and tags move')
    .option('--build <command>', 'bitnet: builds it; given to sh in the folder')
    .option('--dir <folder>', 'bitnet: where it shall be, new or empty (default: ~/.cache/bittern/bitnet/COMMIT)')
    .option('--force', 'get it again; only what fetch-cpp made is replaced')
    .option('--clean', 'remove what fetch-cpp made, and get nothing')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
llama goes into ~/.cache/bittern with your npm, whose scripts are not run. bitnet is built by your command only: Bittern has
none. Follow https://github.com/microsoft/BitNet, but build shared libraries. The folder must then have
  libllama.so and libggml.so, in build/3rdparty/llama.cpp/src and .../ggml/src, or build/src, build/bin, build/lib, lib
  llama.h and ggml.h, in 3rdparty/llama.cpp/include and .../ggml/include, or include
Commit, command and digests are recorded in the folder (bittern-fetch.json), and preflight compares them each time.

Examples:
  bittern fetch-cpp --backend llama
  bittern fetch-cpp --backend bitnet --repo https://github.com/microsoft/BitNet --ref COMMIT --build ./my-build.sh
  bittern fetch-cpp --backend llama --clean

${EXIT_CODES_HELP}`,
    )
    .action(async (options: FetchCppOptions) => {
      checkOptions(options);
      const isUsable = options.clean ? await clean(options, io) : await fetch(options, io);
      if (!isUsable) setExitCode(EXIT_CODES.failed);
    });
}

function checkOptions({ backend, version, repo, ref, build, dir, force, clean: isClean }: FetchCppOptions): void {
  if (force && isClean) throw new UsageError('--force and --clean exclude each other.');
  if (backend === 'bitnet' && version !== undefined) throw new UsageError('--version is for llama; bitnet has --ref.');
  if (backend === 'llama' && [repo, ref, build, dir].some((value) => value !== undefined)) {
    throw new UsageError('--repo, --ref, --build and --dir are for bitnet; llama has --version.');
  }
  if (backend === 'llama') return;
  if (isClean && dir === undefined && ref === undefined) throw new UsageError('--clean needs --dir or --ref.');
  if (!isClean && (repo === undefined || ref === undefined || build === undefined)) {
    throw new UsageError('bitnet needs --repo, --ref and --build: Bittern does not know how to build it.');
  }
}

/** @returns whether what was fetched can be used */
async function fetch(options: FetchCppOptions, io: Io): Promise<boolean> {
  const { env, signal } = io;
  const say = (what: string): void => io.stderr.write(`${printable(what)}\n`);
  const fetchOptions = {
    env,
    signal,
    force: options.force === true,
    onProgress: say,
    onOutput: (text: string): void => io.stderr.write(text),
  };
  const { backend, version, dir } = options;
  let place: Place;
  if (backend === 'llama') place = await fetchLlama(fetchOptions, version);
  else {
    const source = { repo: options.repo!, commit: options.ref!, build: options.build! };
    place = await fetchBitnet({ ...source, ...(dir !== undefined && { folder: dir }) }, fetchOptions);
  }
  using progress = new ProgressLine(io);
  const report = await preflightAt(place, { signal, onProgress: (what) => progress.show(what) });
  progress.clear();
  await (options.json ? writeJson(io, documentOf(report)) : io.stdout.write(textOf(report, true)));
  if (report.status !== 'ok') return false;
  const statement = exportStatement('sh', FOLDER_VARIABLE[backend], place.folder);
  io.stderr.write(`To use it: ${statement}\n`);
  return true;
}

/** @returns true: that there is nothing is as good */
async function clean({ backend, version, dir, ref, json }: FetchCppOptions, io: Io): Promise<true> {
  const folder =
    backend === 'llama'
      ? fetchedLlamaFolder(io.env, version)
      : dir === undefined
        ? bitnetFolder(io.env, ref!)
        : resolve(dir);
  const removed = await removeFetched(folder);
  if (json) await writeJson(io, { backend, folder, removed });
  else await io.stdout.write(`${removed ? 'Removed' : 'Nothing to remove:'} ${printable(folder)}\n`);
  return true;
}
