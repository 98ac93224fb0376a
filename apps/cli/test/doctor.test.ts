import { expect, test } from 'vitest';
import { bittern } from './support.ts';

interface Document {
  readonly ok: boolean;
  readonly checks: readonly { name: string; status: string; found: readonly string[]; next?: string }[];
}

async function doctor(
  env: Record<string, string> = {},
  ...argv: readonly string[]
): Promise<Document & { code: number }> {
  const { code, stdout, stderr } = await bittern(['doctor', '--json', ...argv], { env });
  expect(stderr).toBe('');
  return { code, ...(JSON.parse(stdout) as Document) };
}

test('tries everything, and names what to do about a gap', async () => {
  const { code, ok, checks } = await doctor();
  expect({ code, ok }).toEqual({ code: 0, ok: true });
  const status = Object.fromEntries(checks.map((check) => [check.name, check.status]));
  expect(Object.keys(status)).toEqual([
    'runtime',
    'environment',
    'memory',
    'kernels relaxed',
    'kernels simd128',
    'threads',
    'bitnet.cpp',
    'llama.cpp',
    'recording of bitnet.cpp',
  ]);
  expect(status).toMatchObject({
    environment: 'ok',
    'kernels simd128': 'ok',
    'bitnet.cpp': 'gap',
    'recording of bitnet.cpp': 'ok',
  });
  expect(checks.find(({ name }) => name === 'bitnet.cpp')!.next).toContain('bittern fetch-cpp --backend bitnet');
  expect(checks.filter(({ found }) => found.length === 0)).toEqual([]);
  expect(checks.filter((check) => check.status !== 'ok' && check.next === undefined)).toEqual([]);
});

test('what is set and wrong is a failure', async () => {
  const { code, ok, checks } = await doctor({ BITNET_CPP_DIR: '/nowhere', BITNET_SEED: 'seven' });
  expect({ code, ok }).toEqual({ code: 1, ok: false });
  const failed = checks.filter(({ status }) => status === 'failed');
  expect(failed.map(({ name }) => name)).toEqual(['environment', 'bitnet.cpp']);
  expect(failed[0]!.found[0]).toContain('BITNET_SEED is "seven"');
  expect(failed[1]!.found[0]).toContain('/nowhere');
});

test('the text says the same', async () => {
  const { code, stdout } = await bittern(['doctor']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^runtime: (?:ok|gap)$/m);
  expect(stdout).toMatch(/^ {2}ternary products: i2s_gemv_simd128\S* for one row, /m);
  expect(stdout).toMatch(/\n\n\d+ ok, \d+ gaps, 0 failed\n$/);
});
