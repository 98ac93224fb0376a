import { describe, expect, test } from 'vitest';
import { bittern, MODEL } from './support.ts';

const PROMPT = 'Once upon a time';

describe('run', () => {
  test('prints the prompt and its continuation, and on stderr the seed and timings', async () => {
    const { code, stdout, stderr } = await bittern(['run', '-p', PROMPT, '-n', '8']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Once upon a time.+\n$/s);
    expect(stderr).toMatch(/^seed \d+\nprefill \d+ tokens in .* tokens\/s, decode 7 tokens in .* tokens\/s\n$/);
  });

  test('is streamed: a write for each piece of text', async () => {
    const writes: string[] = [];
    await bittern(['run', '-p', PROMPT, '-n', '8', '--greedy'], { onWrite: (text) => writes.push(text) });
    expect(writes.length).toBeGreaterThan(5);
    expect(writes[0]).toBe(PROMPT);
  });

  test('the same seed gives the same text, another seed another', async () => {
    const seeded = (seed: string) => bittern(['run', '-p', PROMPT, '-n', '24', '--seed', seed]);
    const [first, again, other] = [await seeded('7'), await seeded('7'), await seeded('8')];
    expect(again.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);
    expect(first.stderr).toMatch(/^seed 7\n/);
  });

  test('the seed that is printed repeats a run', async () => {
    const first = await bittern(['run', '-p', PROMPT, '-n', '16']);
    const seed = /seed (\d+)/.exec(first.stderr)![1]!;
    expect((await bittern(['run', '-p', PROMPT, '-n', '16', '--seed', seed])).stdout).toBe(first.stdout);
  });

  test('greedy decoding has no seed; temperature 0 and top-k 1 are the same text', async () => {
    const greedy = await bittern(['run', '-p', PROMPT, '-n', '16', '--greedy']);
    expect(greedy.stderr).not.toContain('seed');
    for (const option of [
      ['--temperature', '0'],
      ['--top-k', '1'],
    ]) {
      expect((await bittern(['run', '-p', PROMPT, '-n', '16', ...option])).stdout).toBe(greedy.stdout);
    }
  });

  test('--json is one document whose parts agree', async () => {
    const argv = ['run', '-m', MODEL, '-p', PROMPT, '-n', '8', '--seed', '7'];
    const { stdout } = await bittern([...argv, '--json']);
    const document = JSON.parse(stdout);
    expect(document).toEqual({
      model: { file: MODEL, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      numerics: 'avx512',
      sampling: { seed: 7, temperature: 0.8, topK: 40 },
      prompt: PROMPT,
      ids: expect.any(Array),
      generated: expect.any(Array),
      text: expect.any(String),
      stop: 'count',
    });
    expect(document.generated).toHaveLength(8);
    expect((await bittern(argv)).stdout).toBe(`${PROMPT}${document.text}\n`);
  });

  test('stops when the context is full, and says so', async () => {
    const { code, stdout, stderr } = await bittern(['run', '-p', 'a '.repeat(505), '-n', '100', '--greedy', '--json']);
    expect(code).toBe(0);
    const { ids, generated, stop } = JSON.parse(stdout);
    // The last token is chosen from the logits of the last place, and needs none itself.
    expect([ids.length + generated.length, stop]).toEqual([513, 'context']);
    expect(stderr).toContain('the context of 512 tokens is full');
  });

  test('-n 0 prints the prompt alone', async () => {
    expect((await bittern(['run', '-p', PROMPT, '-n', '0'])).stdout).toBe(`${PROMPT}\n`);
  });
});
