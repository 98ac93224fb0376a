import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingDocument } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import { bittern, changedModel, MODEL, RECORDING, replaceText } from './support.ts';

const recording: RecordingDocument = JSON.parse(await readFile(join(RECORDING, 'recording.json'), 'utf8'));

describe('tokenize', () => {
  test('prints ids and pieces', async () => {
    const { text, ids } = recording.runs[0]!;
    const { code, stdout } = await bittern(['tokenize', '-m', MODEL, '-p', text]);
    expect(code).toBe(0);
    const lines = stdout.slice(stdout.indexOf('\nid ')).trim().split('\n').slice(1);
    expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(ids);
    const pieces = lines.map((line) => JSON.parse(line.slice(line.indexOf('"'))) as string);
    expect(pieces.slice(1).join('')).toBe(text);
  });

  const prompts = recording.runs.filter(({ reference, mode }) => reference === 'avx2' && mode === 'sequential');
  test.each(prompts)('--json gives the ids of bitnet.cpp for $text', async ({ text, ids }) => {
    const { stdout } = await bittern(['tokenize', '-m', MODEL, '-p', text, '--special', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ count: ids.length, ids });
  });

  test('--no-bos leaves BOS out, and special tokens are parsed only with --special', async () => {
    const pieces = async (...options: string[]): Promise<string[]> => {
      const { stdout } = await bittern(['tokenize', '-m', MODEL, '-p', '<|eot_id|>', '--no-bos', '--json', ...options]);
      return JSON.parse(stdout).pieces;
    };
    expect(await pieces('--special')).toEqual(['<|eot_id|>']);
    const spelled = await pieces();
    expect(spelled.length).toBeGreaterThan(3);
    expect(spelled.join('')).toBe('<|eot_id|>');
  });
});

describe('inspect', () => {
  test('--json says what is in the file; arrays come with their length', async () => {
    const { code, stdout } = await bittern(['inspect', MODEL, '--json']);
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      file: MODEL,
      sizeBytes: (await stat(MODEL)).size,
      version: 3,
      alignment: 32,
      architecture: 'bitnet-b1.58',
      hyperparameters: { block_count: 8, embedding_length: 256, 'attention.head_count_kv': 2 },
      tokenizer: { model: 'gpt2', pre: 'llama-bpe', tokens: 4096 },
    });
    expect(document.metadata.entries).toHaveLength(document.metadata.count);
    expect(document.metadata.entries).toContainEqual({
      key: 'tokenizer.ggml.tokens',
      type: 'array<string>',
      length: 4096,
      first: expect.any(Array),
    });
    const { tensors } = document;
    expect(tensors.types).toContainEqual({ type: 'F16', count: 1, bytes: 2 * 4096 * 256 });
    expect(tensors.types.map(({ type }: { type: string }) => type)).toEqual(['F16', 'I2_S', 'F32']);
    expect(tensors.types.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(tensors.count);
  });

  test('the text form has the same figures', async () => {
    const { stdout } = await bittern(['inspect', MODEL]);
    expect(stdout).toMatch(/^architecture {2}"bitnet-b1\.58"$/m);
    expect(stdout).toMatch(/^ {2}block_count +8$/m);
    expect(stdout).toMatch(/^ {2}F16 +1 +2097152 bytes \(2\.1 MB\)$/m);
    expect(stdout).toMatch(/tokens +array<string> +4096 elements: "/);
  });

  test('a file of an architecture that cannot run can be inspected', async () => {
    const path = await changedModel((bytes) => replaceText(bytes, 'bitnet-b1.58', 'unheard-of-1'));
    const { code, stdout } = await bittern(['inspect', path, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ architecture: 'unheard-of-1', hyperparameters: { block_count: 8 } });
  });

  test('control characters from the file do not reach the terminal', async () => {
    const path = await changedModel((bytes) => replaceText(bytes, 'general.size_label', 'general.\u001b[31mred--'));
    expect((await bittern(['inspect', path])).stdout).toContain('general.\\u{1b}[31mred--');
  });
});
