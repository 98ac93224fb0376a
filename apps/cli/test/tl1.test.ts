import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingDocument } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import {
  bittern,
  changedRecording,
  fileOf,
  MODEL,
  rawTensors,
  RECORDING,
  setScale,
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
    const { status, metrics, ladders } = JSON.parse(stdout);
    expect({ status, maxAbs: metrics.max_abs_difference }).toEqual({ status: 'ok', maxAbs: 0 });
    expect(ladders[0].ours.build).toMatch(/^WebAssembly, \w+ kernels, TL1 lut$/);

    const refused = await bittern(argv);
    expect(refused.code).toBe(3);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      status: 'not-compared',
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

  test('compat-check: can run with its tiling, and not without, of which it says what is missing', async () => {
    const [model, tiling] = await files();
    const known = await bittern(['compat-check', model, '--tl1-tiling', tiling, '--strict']);
    expect(known.code).toBe(0);
    expect(known.stdout).toBe(`${model}: can run here (0 problems, 0 warnings). The data of 90 tensors was read.\n`);

    const unknown = await bittern(['compat-check', model]);
    expect(unknown.code).toBe(1);
    expect(unknown.stdout).toContain('CANNOT run here (1 problem, 0 warnings)');
    expect(unknown.stdout).toMatch(/^ENGINE_TL1_TILING\n {2}.*"128x256": \[BM, BBK, bm\].*\n {2}Fix: .*--tl1-tiling/m);
    const { stdout } = await bittern(['compat-check', model, '--json']);
    const [problem] = JSON.parse(stdout).problems;
    expect(problem.tensors).toHaveLength(8 * 7);
  });

  test('compat-check: a tiling that does not fit, a pair code above 8, a scale that is none, equal weights', async () => {
    const changed = Buffer.from(bytes);
    const { offsetBytes, elementCount } = rawTensors(changed).find(({ name }) => name === 'blk.2.attn_q.weight')!;
    changed.fill(0x88, offsetBytes, offsetBytes + elementCount / 4);
    changed[rawTensors(changed).find(({ name }) => name === 'blk.3.ffn_up.weight')!.offsetBytes] = 0x9f;
    setScale(changed, 'blk.4.ffn_down.weight', Number.NaN);
    const model = await fileOf(changed, 'model.gguf');
    const tiling = await fileOf(JSON.stringify({ ...TL1_TILING, '128x256': [96, 64, 32] }), 'tiling.json');
    const { code, stdout } = await bittern(['compat-check', model, '--tl1-tiling', tiling, '--json']);
    expect(code).toBe(1);
    const { problems, warnings } = JSON.parse(stdout);
    expect(problems.map((problem: Record<string, string>) => `${problem.code} ${problem.message}`)).toEqual([
      'ENGINE_TL1_TILING The TL1 tiling of "128x256" is [96,64,32]: 128 rows are no multiple of BM.',
      'ENGINE_INVALID_WEIGHTS Tensor "blk.3.ffn_up.weight" holds a pair code above 8 2 times among 98304 pairs, which TL1 does not have.',
      'ENGINE_INVALID_WEIGHTS The scale of tensor "blk.4.ffn_down.weight" is NaN.',
    ]);
    expect(warnings).toEqual(['All weights of tensor "blk.2.attn_q.weight" are equal: 1 times its scale.']);
  });

  test('inspect: tiling and memory, or what is missing', async () => {
    const [model, tiling] = await files();
    const known = JSON.parse((await bittern(['inspect', model, '--tl1-tiling', tiling, '--json'])).stdout);
    const i2s = JSON.parse((await bittern(['inspect', MODEL, '--json'])).stdout);
    expect(known.memory).toEqual(i2s.memory);
    expect(known.i2sLayout).toBeNull();
    expect(i2s.tl1Tiling).toBeNull();
    expect(known.tl1Tiling).toEqual({ tilings: TL1_TILING, reason: 'given with --tl1-tiling' });
    const unknown = JSON.parse((await bittern(['inspect', model, '--json'])).stdout);
    expect(unknown).toMatchObject({ memory: null, tl1Tiling: { tilings: null } });
    const { code, stdout } = await bittern(['inspect', model]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^TL1 tiling +not known without --tl1-tiling: .*"256x256": \[BM, BBK, bm\]/m);
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
