import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bittern, changeFloats, changedModel, editedModel, fileOf, MODEL, temporaryFolder } from './support.ts';

const TEXT = 'Once upon a time there was a little bird. It sang every morning, and nobody listened.\n';

async function score(text: string, ...options: string[]) {
  const path = await fileOf(text, 'text.txt');
  const { code, stdout, stderr } = await bittern(['score', '-m', MODEL, path, '--json', ...options]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** The sum over windows of logits that `bittern logits` writes, by plain softmax. */
async function nllByLogits(windows: readonly (readonly number[])[]): Promise<number[]> {
  const path = join(await temporaryFolder(), 'logits.npy');
  const all: number[] = [];
  for (const window of windows) {
    const ids = window.slice(0, -1);
    await bittern(['logits', '-m', MODEL, '--ids', ids.join(), '--npy', path]);
    const file = await readFile(path);
    const values = new Float32Array(new Uint8Array(file.subarray(10 + file.readUInt16LE(8))).buffer);
    for (const position of ids.keys()) {
      const row = Array.from(values.subarray(4096 * position, 4096 * (position + 1)));
      const total = row.reduce((sum, logit) => sum + Math.exp(logit), 0);
      all.push(-Math.log(Math.exp(row[window[position + 1]!]!) / total));
    }
  }
  return all;
}

async function idsOf(text: string): Promise<number[]> {
  return JSON.parse((await bittern(['tokenize', '-m', MODEL, '-p', text, '--no-bos', '--json'])).stdout).ids;
}

const BOS = 4093;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('score', () => {
  test('is the mean of what the logits say, over one window', async () => {
    const ids = await idsOf(TEXT);
    const expected = await nllByLogits([[BOS, ...ids]]);
    const document = await score(TEXT);
    expect(document).toMatchObject({ tokens: ids.length, scored: ids.length, windows: 1, context: 512 });
    expect(document.meanNll).toBeCloseTo(mean(expected), 9);
    expect(document.perplexity).toBeCloseTo(Math.exp(mean(expected)), 6);
    // A trained model on its own kind of text
    expect(document.perplexity).toBeLessThan(4096 / 20);
  });

  test('over windows, each of which begins with BOS', async () => {
    const ids = await idsOf(TEXT);
    const windows = [0, 7, 14].map((from) => [BOS, ...ids.slice(from, from + 7)]);
    const rest = ids.slice(21);
    for (let from = 0; from < rest.length; from += 7) windows.push([BOS, ...rest.slice(from, from + 7)]);
    const document = await score(TEXT, '--context', '8');
    expect(document).toMatchObject({ scored: ids.length, windows: windows.length, context: 8 });
    expect(document.meanNll).toBeCloseTo(mean(await nllByLogits(windows)), 9);
  });

  test('without BOS the first token of each window is not scored', async () => {
    const ids = await idsOf(TEXT);
    const model = await editedModel((editor) => editor.set('tokenizer.ggml.add_bos_token', 'bool', false));
    const windows: number[][] = [];
    for (let from = 0; from < ids.length; from += 8) windows.push(ids.slice(from, from + 8));
    const scorable = windows.filter(({ length }) => length > 1);
    const document = await score(TEXT, '-m', model, '--context', '8');
    expect(document).toMatchObject({
      scored: scorable.reduce((sum, { length }) => sum + length - 1, 0),
      windows: scorable.length,
    });
    expect(document.meanNll).toBeCloseTo(mean(await nllByLogits(scorable)), 9);
  });

  test('for people, and from standard input', async () => {
    const { meanNll, perplexity } = await score(TEXT);
    const { code, stdout } = await bittern(['score', '-m', MODEL, '-'], { stdin: [Buffer.from(TEXT)] });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^tokens +\d+, \d+ of them scored, in 1 window\(s\) of up to 512\n/);
    expect(stdout).toContain(`mean NLL    ${meanNll.toFixed(6)}\n`);
    expect(stdout).toContain(`perplexity  ${perplexity.toFixed(4)}\n`);
  });

  test.each([
    ['nothing', '', [], 'none to predict'],
    ['a window of one', TEXT, ['--context', '1'], 'is not from 2 to 512'],
    ['a window longer than the context', TEXT, ['--context', '513'], 'is not from 2 to 512'],
  ])('%s is refused', async (_, text, options, message) => {
    const path = await fileOf(text, 'text.txt');
    const { code, stdout, stderr } = await bittern(['score', '-m', MODEL, path, ...options]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  test('logits that are not finite are a failure, no perplexity', async () => {
    const model = await changedModel((bytes) => changeFloats(bytes, 'output_norm.weight', () => Number.NaN));
    const path = await fileOf(TEXT, 'text.txt');
    const { code, stdout, stderr } = await bittern(['score', '-m', model, path, '--json']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('not finite (window 0, position 0)');
  });

  test('a file that is not text is refused', async () => {
    const path = await fileOf(Buffer.from([0xff]), 'text.txt');
    expect(await bittern(['score', '-m', MODEL, path])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not UTF-8'),
    });
  });
});
