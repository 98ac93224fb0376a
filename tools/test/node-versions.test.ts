import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { nodeVersions } from '../src/packages/node-versions.ts';

// The other versions of Node come from npm as programs for Linux on x64. The version that runs all other tests is Node 26: there
// the kernels' own tests are what runs here in the others, but for the revectorizer.
const SCRIPT = fileURLToPath(new URL('../src/run-conformance.ts', import.meta.url));

describe.runIf(process.platform === 'linux' && process.arch === 'x64').concurrent('conformance of the kernels', () => {
  const run = async (major: number, flags: readonly string[], ...args: readonly string[]) => {
    const { stdout } = await promisify(execFile)(nodeVersions().get(major)!, [...flags, SCRIPT, ...args]);
    const {
      version,
      flags: set,
      compared,
    } = JSON.parse(stdout) as {
      version: string;
      flags: readonly string[];
      compared: Record<string, number>;
    };
    expect(version).toMatch(new RegExp(`^v${major}\\.`));
    expect(set).toEqual(args.includes('revectorize') ? ['--experimental-wasm-revectorize'] : []);
    // Every variant and number of threads compared the same, many, values.
    expect(new Set(Object.values(compared)).size).toBe(1);
    expect(Object.values(compared)[0]).toBeGreaterThan(10_000_000);
    return Object.keys(compared);
  };

  test.each([22, 24])('in Node %i', { timeout: 600_000 }, async (major) => {
    expect(await run(major, [])).toHaveLength(6);
  });

  // What only the optimizing compiler does is in effect from the first call on.
  test.each([24, 26])('in Node %i under the revectorizer', { timeout: 600_000 }, async (major) => {
    const flags = ['--no-liftoff', '--no-wasm-tier-up'];
    expect(await run(major, flags, 'revectorize')).toEqual(['relaxed, 1', 'relaxed, 2']);
  });
});
