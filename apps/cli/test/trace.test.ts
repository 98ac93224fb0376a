import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bittern, changedModel, flipWeight, MODEL, temporaryFolder } from './support.ts';

/** Records "Once upon a time" and says where. */
async function record(model: string, options: readonly string[] = []): Promise<string> {
  const out = join(await temporaryFolder(), 'trace');
  const { code, stderr } = await bittern(['trace', 'record', '-m', model, '--ids', '1,5,9,700', '-o', out, ...options]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return out;
}

describe('trace record and trace-diff', () => {
  test('two recordings of one model are equal, whatever the threads', async () => {
    const [a, b] = [await record(MODEL), await record(MODEL, ['--threads', '2'])];
    const { code, stdout } = await bittern(['trace-diff', a, b]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Traces: EQUAL \(exact\)\n {2}212 operations compared/);
    expect((await bittern(['trace-diff', a, b, '--json'])).stdout).toContain('"verdict":"equal"');
  });

  test('one weight: the operation is named, with the last equal one beside it', async () => {
    const model = await changedModel((bytes) => flipWeight(bytes, 'blk.2.ffn_gate.weight'));
    const [reference, ours] = [await record(MODEL), await record(model)];
    const { code, stdout } = await bittern(['trace-diff', reference, ours, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'differs',
      first: { name: 'ffn_gate-2', layer: 2, metrics: { count: 4 * 768, differing: 4 } },
      lastEqual: { name: 'ffn_norm-2' },
    });
    expect((await bittern(['trace-diff', reference, ours, '--tolerance', '10'])).code).toBe(0);
  });

  test('digests alone tell where, not how far', async () => {
    const model = await changedModel((bytes) => flipWeight(bytes, 'blk.2.ffn_gate.weight'));
    const digests = await record(MODEL, ['--values', 'none']);
    const { code, stdout } = await bittern(['trace-diff', digests, await record(model), '--tolerance', '10']);
    expect(code).toBe(1);
    expect(stdout).toContain(
      'First difference  ffn_gate-2 (layer 2, occurrence 0, step 0, operation 70): the digests differ',
    );
  });

  test('a trace that is there is not written over', async () => {
    const out = await record(MODEL);
    const { code, stderr } = await bittern(['trace', 'record', '-m', MODEL, '--ids', '1', '-o', out]);
    expect(code).toBe(2);
    expect(stderr).toContain('is there already');
  });

  test.each<[string, (folder: string) => Promise<unknown>, RegExp]>([
    ['empty', (folder) => writeFile(join(folder, 'trace.jsonl'), ''), /trace\.jsonl is empty/],
    ['cut', (folder) => truncate(join(folder, 'trace.jsonl'), 30_000), /trace\.jsonl was cut short/],
    [
      'without its values',
      (folder) => truncate(join(folder, 'values.safetensors'), 100),
      /values\.safetensors has 100 bytes/,
    ],
  ])('a trace that is %s could not be compared', async (_, damage, message) => {
    const [whole, damaged] = [await record(MODEL), await record(MODEL)];
    await damage(damaged);
    for (const pair of [
      [whole, damaged],
      [damaged, whole],
    ]) {
      const { code, stdout, stderr } = await bittern(['trace-diff', ...pair]);
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
      expect(stderr).toMatch(message);
    }
  });

  test('a trace of other ids, or none at all, could not be compared', async () => {
    const [a, b] = [await record(MODEL), join(await temporaryFolder(), 'b')];
    await bittern(['trace', 'record', '-m', MODEL, '--ids', '1,2', '-o', b]);
    expect((await bittern(['trace-diff', a, b])).stderr).toContain('their ids differ');
    expect((await bittern(['trace-diff', a, '/nowhere'])).code).toBe(3);
    expect(await readFile(join(a, 'trace.jsonl'), 'utf8')).toMatch(/^\{"format":"bittern-trace","version":1,/);
  });
});
