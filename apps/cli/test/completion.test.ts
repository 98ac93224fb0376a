import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { bittern } from './support.ts';

/** The built command: `pnpm run build` makes it. */
const BIN = fileURLToPath(new URL('../dist/bin.js', import.meta.url));
/** Where there are folders and files to complete. */
const FOLDER = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);

/** The words that complete a command line, and whether there may be paths. */
async function candidates(...words: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await bittern(['complete', '--', ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [paths, ...lines] = stdout.trimEnd().split('\n');
  return [paths!, ...lines.map((line) => line.split('\t')[0]!)];
}

describe('what can stand at the cursor', () => {
  test.each([
    ['a command', ['cros'], ['none', 'crossval', 'crossval-per-token']],
    ['a command under a command', ['trace', ''], ['none', 'record', 'help']],
    ['a command under an alias', ['crossval-per-token', 'sw'], ['none', 'sweep']],
    ['an option', ['crossval', '--dump'], ['none', '--dump-ids', '--dump-cpp-ids']],
    ['an option of a command under a command', ['trace', 'record', '--val'], ['none', '--values']],
    ['a value', ['crossval', '--numerics', ''], ['none', 'avx2', 'avx512']],
    ['a value that is begun', ['crossval', '--numerics', 'avx5'], ['none', 'avx512']],
    ['a value behind =', ['crossval', '--numerics=avx5'], ['none', '--numerics=avx512']],
    ['a file', ['run', '-m', ''], ['files']],
    ['a folder', ['trace', 'record', '-m', 'x', '-o', ''], ['folders']],
    ['the value of --reference-model is a file', ['crossval', '--reference-model', ''], ['files']],
    ['a value of free text', ['run', '-p', ''], ['none']],
    ['an argument with choices', ['completion', ''], ['none', 'bash', 'zsh', 'fish']],
    ['an argument that is a file', ['inspect', ''], ['files']],
    ['a second argument', ['trace-diff', 'a', ''], ['folders']],
    ['any of several arguments', ['crossval', 'merge', 'a', 'b', ''], ['files']],
    ['a value that has the name of a command', ['crossval', '-m', 'sweep', '--shar'], ['none']],
    ['a command with a hyphen', ['verify'], ['none', 'verify-receipt']],
    [
      'options that begin alike',
      ['verify-receipt', '--req'],
      ['none', '--require-gpu-kernels', '--require-quantized-kernels', '--require-same-binaries'],
    ],
    ['a receipt to write', ['benchmark', '--receipt', ''], ['files']],
    ['a receipt to verify', ['verify-receipt', ''], ['files']],
    ['several values of one option', ['crossval', '-p', 'a', 'b', '--bis'], ['none', '--bisect']],
    ['behind --, no option', ['run', '--', '--num'], ['none']],
    ['an option that there is not', ['run', '--numirecs=a'], ['none']],
  ])('%s', async (_, words, expected) => expect(await candidates(...words)).toEqual(expected));

  test('the command that scripts ask is not offered', async () => {
    expect(await candidates('comp')).toEqual(['none', 'compat-check', 'completion']);
    expect((await bittern(['--help'])).stdout).not.toMatch(/^ {2}complete /m);
  });
});

/** Each line is typed up to the cursor; `|` parts words where a shell does. */
const TYPED = [
  ['cros', 'crossval crossval-per-token'],
  ['crossval --numerics avx5', 'avx512'],
  ['crossval -m sw', 'sweeps'],
  ['trace-diff sw', 'sweeps'],
  ['run --head ', 'exact screened'],
] as const;

describe('in bash', () => {
  test('the script completes', async () => {
    const lines = [
      ...TYPED.map(([line]) => line.split(' ')),
      ['crossval', '--numerics', '=', 'avx5'],
      ['run', '--head', '='],
    ];
    const script = `
      bittern() { "${process.execPath}" "${BIN}" "$@"; }
      eval "$(bittern completion bash)"
      complete -p bittern
      at() { COMP_WORDS=(bittern "$@"); COMP_CWORD=$#; _bittern; echo "\${COMPREPLY[*]}"; }
      ${lines.map((words) => `at ${words.map((word) => `'${word}'`).join(' ')}`).join('\n')}
    `;
    const { stdout, stderr } = await run('bash', ['--norc', '-c', script], { cwd: FOLDER });
    expect(stderr).toBe('');
    expect(stdout.trimEnd().split('\n')).toEqual([
      'complete -F _bittern bittern',
      ...TYPED.map(([, expected]) => expected),
      'avx512',
      'exact screened',
    ]);
  });
});

/** Only where that shell is. */
function isInstalled(shell: string): boolean {
  try {
    execFileSync(shell, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test.skipIf(!isInstalled('fish'))('in fish, the script completes', async () => {
  const script = `
    function bittern; ${process.execPath} ${BIN} $argv; end
    bittern completion fish | source
    ${TYPED.map(([line]) => `string join ' ' (complete -C 'bittern ${line}' | string replace -r '\\t.*' '')`).join('\n')}
  `;
  const { stdout } = await run('fish', ['--no-config', '-c', script], { cwd: FOLDER });
  expect(stdout.trimEnd().split('\n')).toEqual(TYPED.map(([, expected]) => expected.replace('sweeps', 'sweeps/')));
});

test.skipIf(!isInstalled('zsh'))(
  'in zsh, the script can be loaded and asks for the words up to the cursor',
  async () => {
    const script = `
    bittern() { "${process.execPath}" "${BIN}" "$@"; }
    compdef() { echo "compdef $*"; }
    _describe() { print -- "\${(P)2}"; }
    _files() { print -- "files $*"; }
    eval "$(bittern completion zsh)"
    at() { words=(bittern "$@"); CURRENT=$#words; _bittern; }
    at crossval --numerics avx5
    at crossval -m sw
    at trace-diff sw
  `;
    const { stdout } = await run('zsh', ['-f', '-c', script], { cwd: FOLDER });
    expect(stdout.trimEnd().split('\n')).toEqual(['compdef _bittern bittern', 'avx512', 'files ', 'files -/']);
  },
);
