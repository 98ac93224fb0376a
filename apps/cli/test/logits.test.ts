import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordingDocument } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import { bittern, MODEL, RECORDING, sha256, temporaryFolder } from './support.ts';

const recording: RecordingDocument = JSON.parse(await readFile(join(RECORDING, 'recording.json'), 'utf8'));
const runs = recording.runs.filter(({ prompt }) => prompt === recording.runs[0]!.prompt);

describe('logits', () => {
  test.each(runs)('--json prints what bitnet.cpp ($reference) computed in mode $mode', async (run) => {
    const { numerics } = recording.references.find(({ id }) => id === run.reference)!;
    const argv = ['logits', '-m', MODEL, '-p', run.text, '--special', '--mode', run.mode, '--numerics', numerics];
    const { code, stdout } = await bittern([...argv, '--greedy', String(run.greedy.length), '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      model: { file: MODEL, sha256: recording.model.sha256 },
      numerics,
      mode: run.mode,
      ids: run.ids,
      positions: run.rows,
      greedy: run.greedy,
      kernels: { variant: expect.any(String), threads: 1, choice: expect.any(Object), counters: expect.any(Array) },
    });
  });

  test('ids come from the command line, a file of numbers, a file with a JSON array or a prompt', async () => {
    const folder = await temporaryFolder();
    const { text, ids, rows } = runs.find(({ reference, mode }) => reference === 'avx512' && mode === 'batch-all')!;
    const [lines, array] = [join(folder, 'ids.txt'), join(folder, 'ids.json')];
    await writeFile(lines, `${ids.slice(0, 2).join('\n')}\n  ${ids.slice(2).join(' , ')}\n`);
    await writeFile(array, `${JSON.stringify(ids)}\n`);
    const outputs = [];
    for (const input of [
      ['--ids', ids.join()],
      ['--ids-file', lines],
      ['--ids-file', array],
      ['-p', text],
    ]) {
      const { code, stdout } = await bittern(['logits', '-m', MODEL, ...input]);
      expect(code).toBe(0);
      outputs.push(stdout);
    }
    expect(new Set(outputs).size).toBe(1);
    expect(outputs[0]).toContain(recording.model.sha256);
    const { position, sha256: digest, top } = rows.at(-1)!;
    expect(outputs[0]).toContain(`\n${position}         ${digest}  ${top[0]![0]} ${top[0]![1].toPrecision(6)}, `);
  });

  test('--npy writes the rows, over a file that is there', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'logits.npy');
    await writeFile(path, 'old');
    const { stdout } = await bittern(['logits', '-m', MODEL, '--ids', '1,2,3', '--npy', path, '--json']);
    const file = await readFile(path);
    const header = file.subarray(10, 10 + file.readUInt16LE(8)).toString();
    expect(file.subarray(0, 8).toString('latin1')).toBe('\u0093NUMPY\u0001\u0000');
    expect(header).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(3, 4096\), \} *\n$/);
    const data = file.subarray(10 + header.length);
    expect((file.length - data.length) % 64).toBe(0);
    expect(data.length).toBe(3 * 4096 * 4);
    const digests = [0, 1, 2].map((row) => sha256(data.subarray(row * 4096 * 4, (row + 1) * 4096 * 4)));
    expect(JSON.parse(stdout).positions.map((row: { sha256: string }) => row.sha256)).toEqual(digests);
    expect(await readdir(folder)).toEqual(['logits.npy']);
  });

  test('a failure leaves no part of an --npy file, and an old one as it was', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'logits.npy');
    await writeFile(path, 'old');
    const argv = ['logits', '-m', MODEL, '--mode', 'sequential', '--npy', path, '--ids', '1,2,99999'];
    expect(await bittern(argv)).toMatchObject({ code: 2, stdout: '' });
    expect(await readdir(folder)).toEqual(['logits.npy']);
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  test('--npy refuses what is no regular file', async () => {
    const folder = await temporaryFolder();
    const { code, stderr } = await bittern(['logits', '-m', MODEL, '--ids', '1', '--npy', folder]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('not a regular file')]);
    expect(existsSync(folder)).toBe(true);
  });

  test('the top of a row is that of the values behind its digest', async () => {
    const path = join(await temporaryFolder(), 'logits.npy');
    const argv = ['logits', '-m', MODEL, '-p', 'A', '--mode', 'batch-last', '--npy', path, '--json'];
    const { positions } = JSON.parse((await bittern(argv)).stdout);
    const file = await readFile(path);
    const bytes = new Uint8Array(file.subarray(10 + file.readUInt16LE(8)));
    const values = Array.from(new Float32Array(bytes.buffer), (logit, id) => [id, logit] as const);
    expect(positions).toEqual([
      {
        position: expect.any(Number),
        sha256: sha256(bytes),
        top: values.toSorted((a, b) => b[1] - a[1]).slice(0, 5),
      },
    ]);
  });
});
