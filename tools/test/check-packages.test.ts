import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { problemsOfContents } from '../src/packages/contents.ts';
import { commandsOf, examplesOf, importsOf } from '../src/packages/examples.ts';
import { withDependencies } from '../src/packages/public-packages.ts';

// The parts of `pnpm check:packages` that decide; the whole is run by CI on the packages themselves.

const block = (info: string, code: string): string => `\`\`\`${info}\n${code}\n\`\`\`\n`;

test('examples of a README: where each runs, and what it prints', () => {
  const readme = [
    '# Title\n',
    block('js', "import { a } from 'a';"),
    block('text', 'one'),
    block('js', "import { readFile } from 'node:fs/promises';"),
    'Words between.\n',
    block('text', 'not its output'),
    block('js browser', 'location.href;'),
    block('js fragment', 'session.evaluate(ids);'),
    block('yaml', 'version: 1'),
  ].join('\n');
  expect(examplesOf(readme)).toEqual([
    { line: 3, code: "import { a } from 'a';\n", output: 'one\n', inNode: true, inPage: true },
    { line: 11, code: expect.stringContaining('node:fs'), output: undefined, inNode: true, inPage: false },
    { line: 21, code: 'location.href;\n', output: undefined, inNode: false, inPage: true },
  ]);
});

test('an example that nobody would run is refused', () => {
  expect(() => examplesOf(block('ts', 'const a: number = 1;'))).toThrow('Line 1: write `js` instead of `ts`');
  expect(() => examplesOf(`\n${block('js browsr', '1;')}`)).toThrow('Line 2: "browsr" means nothing');
});

test('commands of the first block, and imports', () => {
  const readme =
    block('sh', 'bittern run -p "a # b" -n 64   # a comment\n\n# another\nbittern --help') + block('sh', 'rm x');
  expect(commandsOf(readme)).toEqual(['bittern run -p "a # b" -n 64', 'bittern --help']);
  expect(commandsOf('nothing')).toEqual([]);
  const code = "import { a } from '@bittern/engine/text';\nimport b from 'vite';\nimport { c } from 'node:fs';";
  expect(importsOf(code)).toEqual(['@bittern/engine', 'vite']);
});

test('a package comes with all that it needs of the workspace', () => {
  const packages = [
    ['a', { b: '1' }],
    ['b', { c: '1', vite: '1' }],
    ['c', {}],
    ['d', {}],
  ].map(([name, dependencies]) => ({
    name: name as string,
    folder: `packages/${name as string}`,
    manifest: { name: name as string, version: '1', dependencies: dependencies as Record<string, string> },
    readme: '',
  }));
  expect([...withDependencies(['a'], packages)]).toEqual(['a', 'b', 'c']);
});

const MANIFEST = {
  name: 'toy',
  version: '0.1.0',
  description: 'A toy',
  license: 'Apache-2.0',
  type: 'module',
  sideEffects: false,
  files: ['dist'],
  engines: { node: '>=22' },
  exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
  dependencies: {},
};
const MAP = { sources: ['../src/index.ts'], sourcesContent: ['export const a = 1;'] };
const SOUND: Readonly<Record<string, string>> = {
  LICENSE: 'Apache License',
  'README.md': '# toy',
  'package.json': JSON.stringify(MANIFEST),
  'dist/index.js': 'export const a = 1;',
  'dist/index.js.map': JSON.stringify(MAP),
  'dist/index.d.ts': 'export declare const a: number;',
};

async function problemsOf(files: Readonly<Record<string, string | undefined>>): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'bittern-contents-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      if (text === undefined) continue;
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    return await problemsOfContents(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a sound package has no problems', async () => {
  expect(await problemsOf(SOUND)).toEqual([]);
});

test.each<[problem: string, change: Readonly<Record<string, string | undefined>>]>([
  ['LICENSE is missing', { LICENSE: undefined }],
  ['package.json names ./dist/index.d.ts, which is not packed', { 'dist/index.d.ts': undefined }],
  ['dist/index.js.map is missing', { 'dist/index.js.map': undefined }],
  ['dist/index.js.map has no sources', { 'dist/index.js.map': JSON.stringify({ ...MAP, sourcesContent: [null] }) }],
  ['test/a.js is packed', { 'test/a.js': '' }],
  ['src/a.ts is packed', { 'src/a.ts': '' }],
  ['package.json: sideEffects is not false', { 'package.json': JSON.stringify({ ...MANIFEST, sideEffects: true }) }],
  ['package.json: no engines', { 'package.json': JSON.stringify({ ...MANIFEST, engines: undefined }) }],
  [
    'package.json has a version workspace:',
    { 'package.json': JSON.stringify({ ...MANIFEST, dependencies: { a: 'workspace:^' } }) },
  ],
  [
    'exports["."]: types do not come first',
    {
      'package.json': JSON.stringify({
        ...MANIFEST,
        exports: { '.': { default: './dist/index.js', types: './dist/index.d.ts' } },
      }),
    },
  ],
])('%s', async (problem, change) => {
  expect(await problemsOf({ ...SOUND, ...change })).toEqual([problem]);
});
