import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PLAYBOOK_THRESHOLDS } from '@bittern/crossval';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ciScripts, isRunByCi } from '../src/docs/ci-scripts.ts';
import { commandsOf, type DocumentCommand } from '../src/docs/commands.ts';
import { thresholdsTable } from '../src/docs/generated.ts';
import { fencesOf, fillGenerated } from '../src/docs/markdown.ts';
import { normalize } from '../src/docs/normalize.ts';
import { runSession } from '../src/docs/session.ts';

function commands(...lines: readonly string[]): DocumentCommand[] {
  return fencesOf(lines, 'a.md').flatMap((fence) => commandsOf(lines, fence, 'a.md'));
}

describe('commands of a document', () => {
  test('are those of sh and console blocks, by line', () => {
    const lines = [
      '```sh',
      'one # why',
      '# a comment',
      'two \\',
      '  three',
      '```',
      '',
      '```console',
      '$ four',
      'out',
      '$ five',
      '```',
    ];
    expect(commands(...lines)).toEqual([
      { line: 2, text: 'one # why', kind: 'run' },
      { line: 4, text: 'two \\\n  three', kind: 'run' },
      { line: 9, text: '$ four'.slice(2), kind: 'shown' },
      { line: 11, text: 'five', kind: 'shown' },
    ]);
  });

  test('are not run where the document says why', () => {
    expect(commands('```sh', '# Not run in CI: needs a C++ build.', 'make', '```')).toEqual([
      { line: 3, text: 'make', kind: 'marked' },
    ]);
    expect(commands('```sh', '# Run in CI by tools/test/docs.test.ts.', 'make', '```')).toEqual([
      { line: 3, text: 'make', kind: 'tested', by: 'tools/test/docs.test.ts' },
    ]);
    expect(() => commands('```sh', '# Not run, sorry', 'make', '```')).toThrow('a.md:2: write "# Not run in CI: needs');
  });

  test.each([
    ['a command without a language', ['```', 'npx -y x', '```'], 'a.md:2: a command'],
    ['a command in bash', ['```bash', 'bittern run', '```'], 'a.md:2: a command'],
    ['a block of nothing', ['```sh', '# later', '```'], 'without a command'],
    ['a fence that stays open', ['```sh', 'ls'], 'is not closed'],
  ])('%s is a mistake', (_, lines, message) => expect(() => commands(...lines)).toThrow(message));

  test('of other languages are none', () => {
    expect(commands('```ts', 'npm install', '```', '```', 'bytes -> text', '```')).toEqual([]);
  });
});

test('what CI runs by itself is known by its script, without options', () => {
  const scripts = ciScripts('step pnpm run build --force # x\nstep pnpm run crossval\ntests pnpm test\n');
  expect([...scripts]).toEqual(['build', 'crossval', 'test']);
  expect(isRunByCi('npx -y pnpm@12.21.0 crossval     # why', scripts)).toBe(true);
  expect(isRunByCi('pnpm run test', scripts)).toBe(true);
  expect(isRunByCi('npx -y pnpm@12.21.0 crossval --html x', scripts)).toBe(false);
  expect(isRunByCi('npx -y pnpm@12.21.0 bench', scripts)).toBe(false);
  expect(() => ciScripts('echo')).toThrow('runs no script');
});

test('a session keeps folder, functions and variables, takes no input, and tells how each command ended', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bittern-docs-test-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const run = [
    'mkdir a && cd a; f() { echo "f $1"; }; v=1',
    "f 'it'\\''s'; pwd",
    'echo err >&2; cat; false',
    'echo $v)',
    'echo $v',
  ];
  const outcomes = await runSession(run, { folder, scratch: join(folder, 'out'), env: { PATH: process.env['PATH'] } });
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 1, 2, 0]);
  expect(outcomes.map(({ output }) => output)).toEqual([
    '',
    `f it's\n${folder}/a\n`,
    'err\n',
    expect.stringContaining('syntax error'),
    '1\n',
  ]);
});

test('what differs between machines is shown as what it is, and nothing else is touched', () => {
  const shown = (text: string): string => normalize(text, [['/tmp/x', '<tmp>']]);
  expect(shown('/tmp/x/a.gguf  \nprefill 5 tokens in 0.01 s, 519.0 tokens/s\n\n')).toBe(
    '<tmp>/a.gguf\nprefill 5 tokens in <time>, <speed> tokens/s',
  );
  expect(shown('bittern 0.1.0, WebAssembly, relaxed kernels, avx2')).toBe(
    'bittern 0.1.0, WebAssembly, <variant> kernels, avx2',
  );
  expect(shown('version 0.5.0-dev, new API, CPU variant haswell')).toBe(
    'version 0.5.0-dev, new API, CPU variant <cpu>',
  );
  const exact = 'positions  pass  320 rows\nmax abs diff 0.000003814697265625\n 1 skipped, 2 ok\nfirst 3 steps';
  expect(shown(exact)).toBe(exact);
});

test('generated parts are replaced, all else stays', () => {
  const text = 'a\n<!-- generated: thresholds -->\nold\n<!-- end of generated -->\nb\n';
  const filled = fillGenerated(text, 'a.md', () => 'new');
  expect(filled).toBe('a\n<!-- generated: thresholds -->\n\nnew\n\n<!-- end of generated -->\nb\n');
  expect(fillGenerated(filled, 'a.md', () => 'new')).toBe(filled);
  expect(() => fillGenerated('<!-- generated: x -->\n', 'a.md', () => '')).toThrow('is missing');
  expect(() => fillGenerated('<!-- end of generated -->\n', 'a.md', () => '')).toThrow('ends nothing');
});

test('the table of thresholds is the one of the program, and a new metric wants a column', () => {
  expect(thresholdsTable()).toContain('| `positions` | ≤ 2e-6 | ≤ 5e-4 | ≥ 95 % | ≤ 1e-3 | |');
  expect(() => thresholdsTable({ ...PLAYBOOK_THRESHOLDS, positions: { l2: 1 } })).toThrow('no column for l2');
});
