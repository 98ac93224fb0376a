import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRecording, sha256OfFloats, type TraceTap } from '@bittern/crossval';
import { afterAll, describe, expect, test } from 'vitest';
import { convertRecording } from '../src/convert-recording.ts';
import { readNpy } from '../src/npy.ts';

const folder = await mkdtemp(join(tmpdir(), 'bittern-convert-'));
afterAll(() => rm(folder, { recursive: true }));

const MODEL = { file: 'toy.gguf', sha256: 'c3'.repeat(32) };
const ROWS = [Float32Array.of(1, 3, 2, 0, -1, -2), Float32Array.of(0, 1, 5, 4, 3, 2)];
const NEXT = Float32Array.of(9, 8, 7, 6, 5, 4);

/** A .npy file, version 1, as numpy writes it. */
function npy(shape: string, rows: readonly Float32Array[]): Buffer {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117) + '\n';
  const start = Buffer.alloc(10);
  start.write('\u0093NUMPY\u0001', 'latin1');
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, Buffer.from(header), ...rows.map((row) => Buffer.from(row.buffer))]);
}

async function writeSource(): Promise<void> {
  const rows = await Promise.all(
    ROWS.map(async (row, position) => ({
      position,
      top5: [...row.entries()].toSorted(([, a], [, b]) => b - a).slice(0, 5),
      sha256: await sha256OfFloats(row),
    })),
  );
  const index = {
    model: MODEL,
    references: { avx2: { name: 'bitnet.cpp', version: '1', build: 'test', lanes: 8 } },
    context: 'toy',
    recordings: [
      {
        prompt: 0,
        text: 'ab',
        reference: 'avx2',
        lanes: 8,
        mode: 'batch-all',
        ids: [0, 1],
        positions: [0, 1],
        logits: 'logits.npy',
        rows,
        greedy: [2, 0],
        generated: 'generated.npy',
      },
    ],
  };
  const tap = { occurrence: 0, step: 0, shape: [1, 6], op: 'ADD' };
  const trace = {
    model: MODEL,
    mode: 'batch-all',
    ids: [0, 1],
    steps: [0],
    nodes: [
      { ...tap, name: 'l_out-0', offset: 0, sha256: await sha256OfFloats(NEXT.map((value) => -value)) },
      { ...tap, name: 'kq_soft_max_ext-0', offset: 24, sha256: await sha256OfFloats(ROWS[0]!) },
    ],
  };
  await mkdir(join(folder, 'trace.p0.avx2.batch-all'), { recursive: true });
  await writeFile(join(folder, 'logits.npy'), npy('(2, 6)', ROWS));
  await writeFile(join(folder, 'generated.npy'), npy('(2, 6)', [ROWS[1]!, NEXT]));
  await writeFile(join(folder, 'index.json'), JSON.stringify(index));
  await writeFile(join(folder, 'trace.p0.avx2.batch-all/index.json'), JSON.stringify(trace));
  await writeFile(
    join(folder, 'trace.p0.avx2.batch-all/values.npy'),
    npy('(12,)', [NEXT.map((value) => -value), ROWS[0]!]),
  );
}

function convert(traceValues: readonly string[] = []): ReturnType<typeof convertRecording> {
  return convertRecording({ reference: folder, modelSha256: MODEL.sha256, traceValues });
}

describe('convertRecording', () => {
  test('gives a recording that opens, with each array once and the same bytes each time', async () => {
    await writeSource();
    const { json, values } = await convert();
    expect(await convert()).toEqual({ json, values });
    const recording = await openRecording(async (file) => (file === 'recording.json' ? json : values));
    expect(recording.cases('avx2')).toMatchObject([{ id: 'p0.batch-all', ids: [0, 1], greedyCount: 2, trace: true }]);
    // Two rows and one generated one; the first attention row is the first row, the other operation has its digest only.
    expect(JSON.parse(new TextDecoder().decode(json))).toMatchObject({ vocabSize: 6, values: { arrays: 3 } });
    const taps: TraceTap[] = [];
    await recording.side('avx2').trace([0, 1], { mode: 'batch-all', onTap: (tap) => taps.push(tap) });
    expect(taps.map(({ data }) => data)).toEqual([undefined, ROWS[0]]);
  });

  test('keeps the values of a trace that is named', async () => {
    await writeSource();
    const { json } = await convert(['p0.avx2.batch-all']);
    expect(JSON.parse(new TextDecoder().decode(json))).toMatchObject({ values: { arrays: 4 } });
  });

  test('refuses the recording of another model', async () => {
    await writeSource();
    const other = convertRecording({ reference: folder, modelSha256: 'd4'.repeat(32), traceValues: [] });
    await expect(other).rejects.toThrow('was recorded with model');
  });

  test('refuses rows that are not those of the index', async () => {
    await writeSource();
    await writeFile(join(folder, 'logits.npy'), npy('(2, 6)', ROWS.toReversed()));
    await expect(convert()).rejects.toThrow('its index says');
  });
});

describe('readNpy', () => {
  test('refuses another file, another type and a cut file', () => {
    const good = npy('(2, 6)', ROWS);
    expect(readNpy(good, 'a').shape).toEqual([2, 6]);
    expect(() => readNpy(good.subarray(0, -4), 'a')).toThrow('bytes of data');
    expect(() => readNpy(good.subarray(1), 'a')).toThrow('not a .npy file');
    expect(() => readNpy(Buffer.from(good.toString('latin1').replace('<f4', '<f8'), 'latin1'), 'a')).toThrow('f32');
  });
});
