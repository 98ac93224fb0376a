import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { notices, thirdParties } from '../src/packages/notices.ts';
import { readPublicPackages } from '../src/packages/public-packages.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

// Elsewhere some optional dependencies are not installed, and their licences cannot be read.
describe.runIf(process.platform === 'linux' && process.arch === 'x64')('THIRD-PARTY-NOTICES.md', () => {
  test('has what the lockfile says (else: pnpm notices)', async () => {
    const text = await notices(ROOT, await readPublicPackages(ROOT));
    expect(text).toMatch(/^## commander@/m);
    expect(await readFile(join(ROOT, 'THIRD-PARTY-NOTICES.md'), 'utf8')).toBe(text);
  });
});

test('what is needed directly, or by what is needed; not what tests need', () => {
  const version = '1.0.0';
  const lockfile = {
    importers: {
      'packages/toy': {
        dependencies: { a: { version }, own: { version: 'link:../own' } },
        devDependencies: { vitest: { version }, assemblyscript: { version } },
      },
    },
    packages: { 'a-linux@1.0.0': { os: ['linux'] }, 'b@2.0.0': {} },
    snapshots: {
      'a@1.0.0': { dependencies: { b: '2.0.0' }, optionalDependencies: { 'a-linux': version } },
      'b@2.0.0': {},
      'assemblyscript@1.0.0': { dependencies: { b: '3.0.0' } },
    },
  };
  const toy = { name: 'toy', folder: 'packages/toy', manifest: { name: 'toy', version }, readme: '' };
  const users = new Set(['packages/toy']);
  expect(thirdParties(lockfile, [toy])).toEqual([
    { id: 'a@1.0.0', users, platforms: ['a-linux@1.0.0'] },
    { id: 'assemblyscript@1.0.0', users, platforms: [] },
    { id: 'b@2.0.0', users, platforms: [] },
  ]);
  expect(() => thirdParties({ ...lockfile, snapshots: {} }, [toy])).toThrow('a@1.0.0 is not in pnpm-lock.yaml');
});
