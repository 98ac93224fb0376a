import type { KernelCounter } from '@bittern/engine';
import { describe, expect, test } from 'vitest';
import { bittern, fileOf, MODEL } from './support.ts';

const RUN = ['run', '-p', 'Once upon a time', '-n', '12', '--json'];

async function run(env: Record<string, string>, ...options: string[]) {
  const { code, stdout } = await bittern([...RUN, ...options], { env });
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

describe('environment variables', () => {
  test('BITNET_SEED is the seed where none is given, and is recorded', async () => {
    const document = await run({ BITNET_SEED: '42', OTHER: 'x' });
    expect(document.sampling.seed).toBe(42);
    expect(document.environment).toEqual({ BITNET_SEED: '42' });
    expect(document.text).toBe((await run({}, '--seed', '42')).text);
    expect((await run({ BITNET_SEED: '42' }, '--seed', '7')).sampling.seed).toBe(7);
  });

  test('BITNET_DETERMINISTIC makes a run repeatable', async () => {
    const env = { BITNET_DETERMINISTIC: '1' };
    const first = await run(env);
    expect(first.sampling.seed).toBe(0);
    expect((await run(env)).generated).toEqual(first.generated);
    expect((await run({ ...env, BITNET_SEED: '42' })).sampling.seed).toBe(42);
    const seeds = new Set<number>();
    for (let i = 0; i < 3; i++) seeds.add((await run({ BITNET_DETERMINISTIC: '0' }, '-n', '0')).sampling.seed);
    expect(seeds.size).toBe(3);
  });

  test('RAYON_NUM_THREADS, else OMP_NUM_THREADS, is the number of threads where none is given', async () => {
    expect((await run({ RAYON_NUM_THREADS: '2', OMP_NUM_THREADS: '3' }, '--greedy')).threads).toBe(2);
    expect((await run({ OMP_NUM_THREADS: '3' }, '--greedy')).threads).toBe(3);
    expect((await run({ OMP_NUM_THREADS: '3' }, '--greedy', '--threads', '1')).threads).toBe(1);
    expect((await run({ RAYON_NUM_THREADS: '0' }, '--greedy')).threads).toBe(1);
    expect((await run({ RAYON_NUM_THREADS: '' }, '--greedy')).environment).toEqual({});
  });

  test.each([
    ['BITNET_SEED', '-1'],
    ['BITNET_SEED', '4294967296'],
    ['BITNET_DETERMINISTIC', 'yes please'],
    ['RAYON_NUM_THREADS', 'all'],
    ['OMP_NUM_THREADS', '257'],
  ])('%s=%s is refused', async (name, value) => {
    const { code, stdout, stderr } = await bittern(RUN, { env: { [name]: value } });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`The environment variable ${name} is "${value}"`);
  });
});

test('everything is the same twice and with 1, 2 and 3 threads', { timeout: 60_000 }, async () => {
  const documents: unknown[] = [];
  const text = await fileOf('Once upon a time there was a little bird. It sang every morning.\n', 'text.txt');
  for (const threads of ['1', '2', '3', '1']) {
    const env = { BITNET_DETERMINISTIC: '1', BITNET_SEED: '42', RAYON_NUM_THREADS: threads };
    const digests: unknown[] = [];
    for (const mode of ['batch-all', 'batch-last', 'sequential']) {
      const argv = ['logits', '-m', MODEL, '-p', 'Once upon a time', '--mode', mode, '--greedy', '8', '--json'];
      const { environment, kernels, ...rest } = JSON.parse((await bittern(argv, { env })).stdout);
      expect(environment).toEqual(env);
      expect(kernels.threads).toBe(Number(threads));
      // Which form of a ternary product runs is chosen by its speed; kernels come in the order of the registry.
      const counts = kernels.counters.map(({ id, calls, rows, elements, bytes }: KernelCounter) => {
        return { operation: id.replace(/_(relaxed|simd128).*/, ''), calls, rows, elements, bytes };
      });
      counts.sort((a: { operation: string }, b: { operation: string }) => (a.operation < b.operation ? -1 : 1));
      digests.push({ ...rest, counts });
    }
    const { meanNll } = JSON.parse((await bittern(['score', '-m', MODEL, text, '--json'], { env })).stdout);
    const chat = await bittern(['chat', '-n', '12'], { env, stdin: [Buffer.from('Hi\nWhy?\n')] });
    const options = ['--top-p', '0.9', '--min-p', '0.01', '--repeat-penalty', '1.1', '--logprobs', '3'];
    const { ids, generated, text: answer, logprobs, stop } = await run(env, ...options);
    documents.push({ ids, generated, answer, logprobs, stop, digests, meanNll, chat: chat.stdout });
  }
  for (const document of documents) expect(document).toEqual(documents[0]);
});
