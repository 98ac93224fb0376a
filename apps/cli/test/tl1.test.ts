import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingDocument } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import {
  bittern,
  changedRecording,
  MODEL,
  RECORDING,
  sha256,
  temporaryFolder,
  TL1_TILING,
  tl1Bytes,
} from './support.ts';

describe('a TL1 model', async () => {
  const bytes = await tl1Bytes();

  /** Paths of the model and of a file with a tiling. */
  async function files(tiling: string = JSON.stringify(TL1_TILING)): Promise<[model: string, tiling: string]> {
    const folder = await temporaryFolder();
    const paths: [string, string] = [join(folder, 'model.gguf'), join(folder, 'tiling.json')];
    await writeFile(paths[0], bytes);
    await writeFile(paths[1], tiling);
    return paths;
  }

  test.each(['transcode', 'lut'])('logits are those of the same weights in I2_S: %s', async (kernel) => {
    const recording: RecordingDocument = JSON.parse(await readFile(join(RECORDING, 'recording.json'), 'utf8'));
    const run = recording.runs.find(({ reference, mode }) => reference === 'avx512' && mode === 'batch-all')!;
    const [model, tiling] = await files();
    const argv = ['logits', '-m', model, '--ids', run.ids.join(), '--tl1-tiling', tiling, '--tl1-kernel', kernel];
    const { code, stdout } = await bittern([...argv, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).positions).toEqual(run.rows);
  });

  test('run prints the same text', async () => {
    const [model, tiling] = await files();
    const argv = ['-p', 'Once upon a time', '-n', '24', '--seed', '3'];
    const { stdout } = await bittern(['run', ...argv]);
    expect((await bittern(['run', '-m', model, '--tl1-tiling', tiling, ...argv])).stdout).toBe(stdout);
  });

  test('crossval passes, and says how the weights were run', async () => {
    const [model, tiling] = await files();
    const reference = await changedRecording(({ json }) => {
      const document: RecordingDocument = JSON.parse(json);
      return { json: JSON.stringify({ ...document, model: { ...document.model, sha256: sha256(bytes) } }) };
    });
    const argv = ['crossval', '-m', model, '--reference', reference, '--numerics', 'avx2', '--exact', '--json'];
    const { code, stdout } = await bittern([...argv, '--tl1-tiling', tiling, '--tl1-kernel', 'lut']);
    expect(code).toBe(0);
    const { verdict, maxAbs, ladders } = JSON.parse(stdout);
    expect({ verdict, maxAbs }).toEqual({ verdict: 'pass', maxAbs: 0 });
    expect(ladders[0].ours.build).toMatch(/^WebAssembly, \w+ kernels, TL1 lut$/);

    const refused = await bittern(argv);
    expect(refused.code).toBe(3);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      verdict: 'not-compared',
      message: expect.stringMatching(/TL1/),
    });
  });

  test('without a tiling, or with one that lacks a shape, ends with 1 and names what is missing', async () => {
    const { '256x768': wide } = TL1_TILING;
    const [model, tiling] = await files(JSON.stringify({ '256x768': wide }));
    for (const options of [[], ['--tl1-tiling', tiling]]) {
      const { code, stdout, stderr } = await bittern(['logits', '-m', model, '--ids', '1', ...options]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/"256x256": \[BM, BBK, bm\].*"768x256"/);
      expect(stderr.includes('"256x768"')).toBe(options.length === 0);
    }
  });

  test.each([
    ['no JSON', '{"256x256": [64, 32, 64]', 2, /tiling\.json: .*not JSON/],
    ['empty', '', 2, /not JSON/],
    ['a list', '[[64, 32, 64]]', 2, /something else/],
    ['null', 'null', 2, /something else/],
    ['too large', `{"1x1": "${'x'.repeat(65_536)}"}`, 2, /more than 65536 bytes/],
    ['an entry that is no tiling', '{"256x256": [64, 32]}', 1, /"256x256" is \[64,32\]/],
  ])('a tiling file that is %s', async (_, text, expected, message) => {
    const [model, tiling] = await files(text);
    const { code, stdout, stderr } = await bittern(['logits', '-m', model, '--ids', '1', '--tl1-tiling', tiling]);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toMatch(message);
  });

  test('a tiling file that is not there, or a folder, ends with 2', async () => {
    const folder = await temporaryFolder();
    for (const path of [join(folder, 'none.json'), folder]) {
      const { code, stdout } = await bittern(['logits', '-m', MODEL, '--ids', '1', '--tl1-tiling', path]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    }
  });

  test('an unknown kernel ends with 2', async () => {
    const { code, stderr } = await bittern(['run', '-p', 'x', '--tl1-kernel', 'table']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Allowed choices are transcode, lut')]);
  });
});
