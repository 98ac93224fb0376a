import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { apiReports, reportFile } from '../src/packages/api-report.ts';
import { readPublicPackages } from '../src/packages/public-packages.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const packages = await readPublicPackages(ROOT);

test('tools/api/ has the API of every package as it is built (else: pnpm api-report, and look at what changed)', async () => {
  const reports = apiReports(ROOT, packages);
  expect(reports.size).toBeGreaterThanOrEqual(6);
  const kept = (await readdir(join(ROOT, 'tools/api'))).filter((file) => file.endsWith('.api.md'));
  expect(kept.map((file) => `tools/api/${file}`).toSorted()).toEqual([...reports.keys()].map(reportFile).toSorted());
  for (const [one, report] of reports) expect(await readFile(join(ROOT, reportFile(one)), 'utf8')).toBe(report);
});

const DECLARATIONS = `
interface Bytes { readonly cache: number }
/** A comment. */
declare function sizeOf(file: string): Bytes;
declare const unused: number;
export { sizeOf };
`;

/** The report of a package that has these declarations. */
async function reportOf(declarations: string): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'bittern-api-'));
  try {
    await mkdir(join(root, 'packages/toy'), { recursive: true });
    await writeFile(join(root, 'packages/toy/index.d.ts'), declarations);
    const manifest = { name: 'toy', version: '1.0.0', exports: { '.': { types: './index.d.ts' } } };
    const toy = { name: 'toy', folder: 'packages/toy', manifest, readme: '' };
    return apiReports(root, [toy]).get(toy)!;
  } finally {
    await rm(root, { recursive: true });
  }
}

test.each([
  ['a parameter', 'file: string', 'file: URL'],
  ['a type that is reached, but not exported', 'cache: number', 'cache: bigint'],
  ['a further export', '{ sizeOf }', '{ sizeOf, unused }'],
  ['a name', '{ sizeOf }', '{ sizeOf as size }'],
])('a report changes with %s', async (_, from, to) => {
  expect(await reportOf(DECLARATIONS.replace(from, to))).not.toBe(await reportOf(DECLARATIONS));
});

test('and not with comments, the order, or what nobody reaches', async () => {
  const report = await reportOf(DECLARATIONS);
  expect(await reportOf(DECLARATIONS.replace('A comment', 'Another one'))).toBe(report);
  expect(await reportOf(DECLARATIONS.replace('unused: number', 'unused: string'))).toBe(report);
  const [, bytes, comment, ...rest] = DECLARATIONS.split('\n');
  expect(await reportOf([comment, ...rest, bytes].join('\n'))).toBe(report);
});

test('a package that is not built, or exports nothing, has no report', async () => {
  await expect(reportOf('export {};')).rejects.toThrow('exports nothing');
  const toy = { name: 'toy', version: '1.0.0', exports: { '.': { types: './index.d.ts' } } };
  const missing = { name: 'toy', folder: 'packages/toy', manifest: toy, readme: '' };
  expect(() => apiReports(tmpdir(), [missing])).toThrow('Build the packages first');
});
