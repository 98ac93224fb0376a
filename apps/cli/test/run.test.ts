import { readFile } from 'node:fs/promises';
import type { KernelChoice, KernelCounter } from '@bittern/engine';
import { openGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import { bittern, editedModel, MODEL, TOKENIZER } from './support.ts';

const PROMPT = 'Once upon a time';
/** Of the storyteller. */
const LAYERS = 8;

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

  test.each([
    ['--greedy'],
    ['--seed', '7'],
    ['--seed', '7', '--top-k', '3', '--temperature', '2'],
    ['--temperature', '0'],
    ['--seed', '7', '--top-p', '0.9', '--min-p', '0.02', '--stop', 'never to be seen'],
  ])('--head screened gives the same text: %s %s', async (...sampling) => {
    const argv = ['run', '-p', PROMPT, '-n', '24', ...sampling];
    const exact = await bittern(argv);
    const screened = await bittern([...argv, '--head', 'screened']);
    expect(screened).toMatchObject({ code: 0, stdout: exact.stdout });
    const { head, kernels } = JSON.parse((await bittern([...argv, '--head', 'screened', '--json'])).stdout);
    expect(head).toBe('screened');
    const ids = kernels.counters.map(({ id }: KernelCounter) => id.replace(/_(relaxed|simd128)$/, ''));
    expect(ids).toContain('f16_head_screened');
    expect(ids).not.toContain('f16_gemv');
  });

  test('--head screened refuses to sample among all', async () => {
    const { code, stdout, stderr } = await bittern(['run', '-p', PROMPT, '--top-k', '0', '--head', 'screened']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('--top-k above 0');
  });

  test.each([
    [['--repeat-penalty', '1.1'], '--repeat-penalty'],
    [['--greedy', '--repeat-penalty', '1.1'], '--repeat-penalty'],
    [['--logprobs', '0', '--json'], '--logprobs'],
  ])('--head screened refuses %j', async (options, named) => {
    const { code, stdout, stderr } = await bittern(['run', '-p', PROMPT, '--head', 'screened', ...options]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(named);
  });

  test('--json is one document whose parts agree', async () => {
    const argv = ['run', '-m', MODEL, '-p', PROMPT, '-n', '8', '--seed', '7'];
    const { stdout } = await bittern([...argv, '--json']);
    const document = JSON.parse(stdout);
    expect(document).toEqual({
      model: { file: MODEL, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      numerics: 'avx512',
      sampling: { seed: 7, temperature: 0.8, topK: 40, topP: 1, minP: 0, repetitionPenalty: 1 },
      environment: {},
      threads: 1,
      tokenizer: {
        file: MODEL,
        source: 'gguf',
        reason: expect.stringContaining("the model file's own"),
        digest: expect.stringMatching(/^[0-9a-f]{64}$/),
        model: 'gpt2',
        pre: 'llama-bpe',
        vocabSize: 4096,
      },
      template: { id: 'raw', reason: 'none was chosen', text: PROMPT },
      prompt: PROMPT,
      ids: expect.any(Array),
      generated: expect.any(Array),
      text: expect.any(String),
      stop: 'count',
      head: 'exact',
      timings: {
        prefill: { tokens: document.ids.length, durationMs: expect.any(Number), tokensPerSecond: expect.any(Number) },
        decode: { tokens: 7, durationMs: expect.any(Number), tokensPerSecond: expect.any(Number) },
      },
      kernels: {
        variant: expect.stringMatching(/^(relaxed|simd128)$/),
        threads: 1,
        choice: { gemv: expect.any(String), gemm: expect.any(String), tried: expect.any(Array) },
        counters: expect.any(Array),
      },
    });
    const { choice, counters } = document.kernels as { choice: KernelChoice; counters: KernelCounter[] };
    const callsOf = (id: string): number | undefined => counters.find((counter) => counter.id === id)?.calls;
    // Seven of the eight tokens are evaluated, one by one; of the prompt's rows only the last layer's last goes on alone.
    expect(callsOf(choice.gemv)).toBe(7 * 7 * LAYERS + 3);
    expect(callsOf(choice.gemm)).toBe(7 * LAYERS - 3);
    for (const { nanoseconds } of counters) expect(nanoseconds).toBeGreaterThan(0);
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

describe('what ends a run, and what it tells', () => {
  const GREEDY = ['run', '-p', PROMPT, '-n', '24', '--greedy'];

  test('--stop, of which nothing is printed, and which may be given many times', async () => {
    const { text, generated } = JSON.parse((await bittern([...GREEDY, '--json'])).stdout);
    const stop = text.slice(9, 14);
    const before = text.slice(0, text.indexOf(stop));
    const argv = [...GREEDY, '--stop', 'never to be seen', '--stop', stop];
    expect((await bittern(argv)).stdout).toBe(`${PROMPT}${before}\n`);
    const document = JSON.parse((await bittern([...argv, '--json'])).stdout);
    expect(document).toMatchObject({ text: before, stop: 'stop-string', stopString: stop });
    expect(document.generated).toEqual(generated.slice(0, document.generated.length));
  });

  test('--stop-id', async () => {
    const { generated } = JSON.parse((await bittern([...GREEDY, '--json'])).stdout);
    const argv = [...GREEDY, '--stop-id', '4094', '--stop-id', String(generated[5]), '--json'];
    const document = JSON.parse((await bittern(argv)).stdout);
    expect(document).toMatchObject({ stop: 'stop-id' });
    expect(document.generated).toEqual(generated.slice(0, generated.indexOf(generated[5]) + 1));
  });

  test('--repeat-penalty makes another text, also a greedy one', async () => {
    const plain = await bittern(GREEDY);
    const penalized = await bittern([...GREEDY, '--repeat-penalty', '1.5']);
    expect(penalized.code).toBe(0);
    expect(penalized.stdout).not.toBe(plain.stdout);
  });

  test('--top-p and --min-p that leave one token are greedy', async () => {
    const { stdout } = await bittern(GREEDY);
    const seeded = ['run', '-p', PROMPT, '-n', '24', '--seed', '3'];
    expect((await bittern([...seeded, '--top-p', '0.0001'])).stdout).toBe(stdout);
    expect((await bittern([...seeded, '--min-p', '1'])).stdout).toBe(stdout);
  });

  test('--logprobs, of each token', async () => {
    const { generated, logprobs } = JSON.parse((await bittern([...GREEDY, '--logprobs', '2', '--json'])).stdout);
    expect(logprobs).toHaveLength(generated.length);
    for (const [index, { logprob, top }] of logprobs.entries()) {
      expect(top[0]).toEqual([generated[index], logprob]);
      expect(top[1][1]).toBeLessThanOrEqual(logprob);
    }
  });

  test('--progress writes tokens per second on stderr as they come', async () => {
    const { stderr } = await bittern([...GREEDY, '--progress']);
    expect(stderr).toMatch(/^1 tokens in 0\.\d\d s, .* tokens\/s\n/);
    expect((await bittern(GREEDY)).stderr).not.toMatch(/^1 tokens/m);
    const shown: string[] = [];
    await bittern([...GREEDY, '--json'], { isTTY: true, onProgress: (text) => shown.push(text) });
    expect(shown.some((text) => text.includes('tokens/s'))).toBe(true);
    expect(shown.at(-1)).toBe('\r\u001b[K');
  });
});

describe('run with a chat template', () => {
  test('prints the answer alone, and the template with its reason on stderr', async () => {
    const argv = ['run', '--template', 'auto', '--system', 'Be brief.', '-p', 'Hi<|eot_id|>', '-n', '8', '--greedy'];
    const { code, stdout, stderr } = await bittern(argv);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^template bitnet: no template in the file; architecture bitnet-b1\.58 with <\|eot_id\|>\n/);
    const document = JSON.parse((await bittern([...argv, '--json'])).stdout);
    expect(document.template.text).toBe('System: Be brief.<|eot_id|>User: Hi<|eot_id|><|eot_id|>Assistant: ');
    // One for the system, one for the user; the one that the user wrote is text.
    expect(document.ids.filter((id: number) => id === 4095)).toHaveLength(2);
    expect(stdout).toBe(`${document.text}\n`);
  });

  test('raw is the default, and a system message stands before the text', async () => {
    const raw = await bittern(['run', '--template', 'raw', '-p', PROMPT, '-n', '8', '--greedy']);
    expect(raw.stdout).toBe((await bittern(['run', '-p', PROMPT, '-n', '8', '--greedy'])).stdout);
    const { stdout } = await bittern(['run', '--template', 'raw', '--system', 'A', '-p', 'B', '-n', '0']);
    expect(stdout).toBe('A\n\nB\n');
  });

  test('ends with a stop string, none of which is printed', async () => {
    const argv = ['run', '--template', 'instruct', '-p', 'Why?', '-n', '24', '--greedy'];
    const { ids, generated } = JSON.parse((await bittern([...argv, '--json'])).stdout);
    // Two tokens that follow each other become the two halves of a stop string.
    const at = generated.findIndex(
      (id: number, index: number) => index > 3 && ![...ids, ...generated.slice(0, index)].includes(id),
    );
    const [one, two] = [generated[at], generated[at + 1]];
    expect([...ids, ...generated.slice(0, at + 1)]).not.toContain(two);
    const { metadata } = await openGguf(await readFile(MODEL));
    const tokens = [...(metadata.get('tokenizer.ggml.tokens') as string[])];
    tokens[one] = '.\u010a\u010aQ'; // GPT-2 spells a line feed U+010A
    tokens[two] = ':and';
    const model = await editedModel((editor) => editor.set('tokenizer.ggml.tokens', 'array<string>', tokens));
    const stopped = await bittern([...argv, '-m', model, '--json']);
    const document = JSON.parse(stopped.stdout);
    expect(document).toMatchObject({ ids, generated: generated.slice(0, at + 2), stop: 'stop-string' });
    expect(document.text).toMatch(/\.$/);
    const writes: string[] = [];
    await bittern([...argv, '-m', model], { onWrite: (text) => writes.push(text) });
    expect(writes.join('')).toBe(`${document.text}\n`);
    // What may become a stop string is held back, and comes when the generation ends first.
    const cut = await bittern([...argv, '-m', model, '-n', String(at + 1)]);
    expect(cut.stdout).toBe(`${document.text}\n\nQ\n`);
  });

  test('ends with a stop id', async () => {
    const argv = ['run', '--template', 'bitnet', '-p', 'Why?', '-n', '8', '--greedy', '--json'];
    const { generated } = JSON.parse((await bittern(argv)).stdout);
    const model = await editedModel((editor) => editor.set('tokenizer.ggml.eos_token_id', 'u32', generated[2]));
    const document = JSON.parse((await bittern([...argv, '-m', model])).stdout);
    expect(document.stop).toBe('stop-id');
    expect(document.generated).toEqual(generated.slice(0, generated.indexOf(generated[2]) + 1));
  });
});

test('run with the tokenizer of another file', async () => {
  const argv = ['run', '-p', PROMPT, '-n', '8', '--greedy'];
  const { stdout, stderr } = await bittern([...argv, '--tokenizer', TOKENIZER]);
  expect(stdout).toBe((await bittern(argv)).stdout);
  expect(stderr).not.toContain('warning');
  const few = await editedModel((editor) => {
    editor.set('tokenizer.ggml.model', 'string', 'none');
  });
  const without = await bittern([...argv, '-m', few]);
  expect(without).toMatchObject({ code: 1, stdout: '' });
  expect(without.stderr).toContain(`No tokenizer: ${few} has none`);
});
