import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingDocument } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import { bittern, MODEL, RECORDING } from './support.ts';

const recording: RecordingDocument = JSON.parse(await readFile(join(RECORDING, 'recording.json'), 'utf8'));

describe('tokenize', () => {
  test('prints ids and pieces', async () => {
    const { text, ids } = recording.runs[0]!;
    const { code, stdout } = await bittern(['tokenize', '-m', MODEL, '-p', text]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(ids);
    const pieces = lines.map((line) => JSON.parse(line.slice(line.indexOf('"'))) as string);
    expect(pieces.slice(1).join('')).toBe(text);
  });

  const prompts = recording.runs.filter(({ reference, mode }) => reference === 'avx2' && mode === 'sequential');
  test.each(prompts)('--json gives the ids of bitnet.cpp for $text', async ({ text, ids }) => {
    const { stdout } = await bittern(['tokenize', '-m', MODEL, '-p', text, '--special', '--json']);
    expect(JSON.parse(stdout)).toEqual({ ids, pieces: expect.any(Array) });
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
