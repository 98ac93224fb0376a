import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { findViolations, readWorkspace, type WorkspaceFile } from '../src/check-imports.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

function manifest(folder: string, name: string, dependencies: object = {}): WorkspaceFile {
  return { folder, path: 'package.json', text: JSON.stringify({ name, dependencies }) };
}

const SAMPLE: readonly WorkspaceFile[] = [
  manifest('packages/gguf-parser', '@bittern/gguf-parser'),
  manifest('packages/tokenizer', '@bittern/tokenizer'),
  manifest('packages/kernels', '@bittern/kernels'),
  manifest('packages/crossval', '@bittern/crossval'),
  manifest('packages/engine', '@bittern/engine', {
    '@bittern/kernels': 'workspace:^',
    '@bittern/tokenizer': 'workspace:^',
  }),
  manifest('apps/cli', '@bittern/cli', { '@bittern/engine': 'workspace:^' }),
  manifest('tools', '@bittern/tools'),
];

function sample(folder: string, path: string, text: string): WorkspaceFile[] {
  return [...SAMPLE, { folder, path, text }];
}

test('every package imports only what it may', async () => {
  const files = await readWorkspace(ROOT);
  expect(new Set(files.map(({ folder }) => folder)).size).toBeGreaterThanOrEqual(7);
  expect(findViolations(files)).toEqual([]);
});

test.each([
  ['apps/cli', 'src/main.ts', `import { loadModel } from '@bittern/engine';`],
  ['tools', 'src/a.ts', `import '@bittern/crossval';`],
  ['packages/engine', 'src/a.ts', `import { openGguf } from '@bittern/gguf-parser/node';`],
  ['packages/engine', 'src/text.ts', `import { piece } from '@bittern/tokenizer';`],
  ['packages/engine', 'src/text/stream.ts', `export * from '@bittern/tokenizer';`],
  ['packages/kernels', 'test/a.ts', `import { x } from '../src/a.ts'; import 'node:fs';`],
])('%s/%s may: %s', (folder, path, text) => {
  expect(findViolations(sample(folder, path, text))).toEqual([]);
});

test.each([
  ['packages/crossval', 'src/a.ts', `import { openGguf } from '@bittern/gguf-parser';`, 'imports @bittern/gguf-parser'],
  ['packages/crossval', 'src/a.ts', `export { x } from '@bittern/engine';`, 'imports @bittern/engine'],
  ['packages/crossval', 'src/a.ts', `import type { x } from '@bittern/engine';`, 'imports @bittern/engine'],
  ['packages/crossval', 'src/a.ts', `const x = await import('@bittern/engine');`, 'imports @bittern/engine'],
  ['packages/crossval', 'src/a.ts', `type X = import('@bittern/engine').X;`, 'imports @bittern/engine'],
  ['packages/engine', 'src/model.ts', `import { x } from '@bittern/tokenizer';`, 'imports @bittern/tokenizer'],
  ['packages/engine', 'src/a.ts', `import { x } from '@bittern/crossval';`, 'imports @bittern/crossval'],
  ['packages/engine', 'src/a.ts', `import { x } from '@bittern/cli';`, 'imports @bittern/cli'],
  ['packages/engine', 'src/a.ts', `import { x } from '@bittern/tools';`, 'imports @bittern/tools'],
  ['packages/engine', 'src/a.ts', `import { x } from '../../kernels/src/a.ts';`, 'leaves the package'],
  ['apps/cli', 'src/a.ts', `import { x } from '../../../tools/src/a.ts';`, 'leaves the package'],
])('%s/%s may not: %s', (folder, path, text, violation) => {
  expect(findViolations(sample(folder, path, text))).toEqual([expect.stringContaining(violation)]);
});

test('a dependency counts as an import, and a new package must enter the table', () => {
  const files = [
    ...SAMPLE.filter(({ folder }) => folder !== 'packages/crossval'),
    manifest('packages/crossval', '@bittern/crossval', { '@bittern/engine': 'workspace:^' }),
    manifest('packages/new', '@bittern/new'),
    { folder: 'tools', path: 'src/a.ts', text: '' },
  ];
  expect(findViolations(files)).toEqual([
    'packages/crossval/package.json: depends on @bittern/engine',
    'packages/new/package.json: @bittern/new is not in the table of allowed imports',
  ]);
});

test('nothing to check is no pass', () => {
  expect(() => findViolations([])).toThrow('no packages');
  expect(() => findViolations(SAMPLE)).toThrow('no sources');
});
