import { describe, expect, test } from 'vitest';
import { openRecording } from '../src/recording.ts';
import type { LogitsRow, TraceTap } from '../src/side.ts';
import { sha256 } from '../src/sha256.ts';
import { writeSafetensors } from '../src/safetensors.ts';
import { logitsOf, TOY_CASES, tokenizeToy } from './fake-side.ts';
import { type Draft, reader, recordToy } from './toy-recording.ts';

const whole = await recordToy();

/** Opens the toy recording after a change of the parsed JSON. */
async function openChanged(change: (document: Draft) => void): Promise<unknown> {
  const document: Draft = JSON.parse(new TextDecoder().decode(whole.json));
  change(document);
  return openRecording(reader({ ...whole, json: new TextEncoder().encode(JSON.stringify(document)) }));
}

describe('openRecording', () => {
  test('gives back what was recorded', async () => {
    const recording = await openRecording(reader(whole));
    expect(recording.references.map(({ id }) => id)).toEqual(['avx512']);
    expect(recording.cases('avx512')).toEqual(TOY_CASES);
    const side = recording.side('avx512');
    expect(side.identity).toMatchObject({ name: 'toy', numerics: 'avx512', model: recording.model });
    const ids = tokenizeToy('once');
    expect(await side.tokenize('once', { parseSpecial: true })).toEqual(ids);
    const rows: LogitsRow[] = [];
    await side.evaluate(ids, { mode: 'batch-all', onLogits: (row) => rows.push(row) });
    expect(rows.map(({ values }) => values)).toEqual(ids.map((_, index) => logitsOf(ids.slice(0, index + 1))));
    const taps: TraceTap[] = [];
    await side.trace(ids, { mode: 'sequential', onTap: (tap) => taps.push(tap) });
    expect(new Set(taps.map(({ step }) => step))).toEqual(new Set([0, 1, ids.length - 1]));
    expect(await side.decode(ids, { mode: 'batch-all', count: 3 })).toHaveLength(3);
  });

  test('keeps digests where values were left out', async () => {
    const recording = await openRecording(reader(await recordToy((what) => what === 'tap')));
    const rows: LogitsRow[] = [];
    await recording
      .side('avx512')
      .evaluate(tokenizeToy('once'), { mode: 'batch-all', onLogits: (row) => rows.push(row) });
    expect(rows[0]).toMatchObject({ position: 0, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    // The last operation's result of a one-token batch is a row; longer ones are not.
    expect(rows[2]?.values).toBeUndefined();
  });

  test.each([
    ['another reference', (side: string) => openRecording(reader(whole)).then((recording) => recording.side(side))],
    ['cases of another reference', (side: string) => openRecording(reader(whole)).then((of) => of.cases(side))],
  ])('does not make up %s', async (_, use) => {
    await expect(use('neon')).rejects.toMatchObject({ code: 'CROSSVAL_NOT_RECORDED' });
  });

  test('does not make up texts, ids, modes or longer continuations', async () => {
    const side = (await openRecording(reader(whole))).side('avx512');
    const ids = tokenizeToy('once');
    const code = { code: 'CROSSVAL_NOT_RECORDED' };
    const ignore = () => {};
    await expect(side.tokenize('never', { parseSpecial: true })).rejects.toMatchObject(code);
    await expect(side.tokenize('once', { parseSpecial: false })).rejects.toMatchObject(code);
    await expect(side.evaluate([1], { mode: 'batch-all', onLogits: ignore })).rejects.toMatchObject(code);
    await expect(side.evaluate(ids, { mode: 'batch-last', onLogits: ignore })).rejects.toMatchObject(code);
    await expect(side.decode(ids, { mode: 'batch-all', count: 5 })).rejects.toMatchObject(code);
    await expect(side.trace(tokenizeToy('upon a time'), { mode: 'batch-all', onTap: ignore })).rejects.toMatchObject(
      code,
    );
  });

  test('refuses values that were changed in one bit', async () => {
    const values = whole.values.slice();
    values[values.length - 1]! ^= 1;
    await expect(openRecording(reader({ ...whole, values }))).rejects.toMatchObject({
      code: 'CROSSVAL_DIGEST_MISMATCH',
    });
    // The same with the digest of the file corrected: then the array's own digest tells.
    const document: Draft = JSON.parse(new TextDecoder().decode(whole.json));
    document.values.sha256 = await sha256(values);
    const json = new TextEncoder().encode(JSON.stringify(document));
    await expect(openRecording(reader({ json, values }))).rejects.toMatchObject({ code: 'CROSSVAL_DIGEST_MISMATCH' });
  });

  test('refuses values that are not finite, and arrays of nothing', async () => {
    for (const [array, code] of [
      [Float32Array.of(1, Number.NaN), 'CROSSVAL_NON_FINITE'],
      [Float32Array.of(1, 2), 'CROSSVAL_BAD_RECORDING'],
    ] as const) {
      const bytes = new Uint8Array(array.buffer);
      const values = writeSafetensors([[await sha256(bytes), { shape: [2], values: array }]]);
      const digest = await sha256(values);
      const { json } = await recordToy(
        () => false,
        (document) => {
          document.values = { sha256: digest, bytes: values.length, arrays: 1 };
        },
      );
      await expect(openRecording(reader({ json, values }))).rejects.toMatchObject({ code });
    }
  });

  // `never` lets a test write what the types forbid.
  test.each<[string, RegExp, (document: Draft) => unknown]>([
    ['another format', /format is not/, (of) => (of.format = 'other' as never)],
    ['a missing key', /lacks "runs"/, (of) => delete (of as Partial<Draft>).runs],
    ['an unknown key', /unknown key "extra"/, (of) => Object.assign(of, { extra: 1 })],
    ['no runs', /runs is empty/, (of) => (of.runs = [])],
    ['a wrong count of arrays', /arrays, recording.json says/, (of) => of.values.arrays++],
    ['a row too few', /runs\[0\]\.rows are not those/, (of) => of.runs[0]!.rows.pop()],
    [
      'rows in another order',
      /runs\[0\]\.rows are not those/,
      ({ runs }) => (runs[0]!.rows = runs[0]!.rows.toReversed()),
    ],
    ['a changed top logit', /rows\[1\]\.top is not that/, (of) => (of.runs[0]!.rows[1]!.top[0]![1] += 1)],
    [
      'top logits in another order',
      /rows\[1\]\.top is not that/,
      ({ runs }) => runs[0]!.rows[1]!.top.push(runs[0]!.rows[1]!.top.shift()!),
    ],
    ['a top logit of text', /no finite number/, (of) => (of.runs[0]!.rows[1]!.top[0]![1] = '4' as never)],
    ['a changed greedy id', /elsewhere than greedy\[1\]/, ({ runs }) => (runs[0]!.greedy[1]! ^= 1)],
    ['a greedy id too many', /4 rows for 5 greedy/, (of) => of.runs[0]!.greedy.push(1)],
    [
      'generated rows in another order',
      /elsewhere than greedy/,
      ({ runs }) => runs[0]!.generated.unshift(runs[0]!.generated.pop()!),
    ],
    ['an id outside the vocabulary', /ids\[0\] is not below/, (of) => (of.runs[0]!.ids[0] = 16)],
    ['an id that is no integer', /ids\[0\] is not an integer/, (of) => (of.runs[0]!.ids[0] = 0.5)],
    ['an unknown mode', /mode is not/, (of) => (of.runs[0]!.mode = 'batch' as never)],
    ['an unknown reference', /not in "references"/, (of) => (of.runs[0]!.reference = 'neon')],
    ['a run twice', /repeats an earlier one/, (of) => of.runs.push(of.runs[0]!)],
    ['a text with other ids', /differ from those of the same text/, (of) => (of.runs[2]!.text = of.runs[0]!.text)],
    ['a digest in upper case', /not a SHA-256/, (of) => (of.model.sha256 = of.model.sha256.toUpperCase())],
    ['a shape that does not fit', /nodes\[0\] has 80 values, not 1/, (of) => (of.traces[0]!.nodes[0]!.shape = [1, 1])],
    ['a node of another step', /have the steps 9, 0, not 0/, (of) => (of.traces[0]!.nodes[0]!.step = 9)],
    ['a list that is an object', /rows is not an array/, (of) => (of.runs[0]!.rows = { length: 5 } as never)],
  ])('refuses %s', async (_, message, change) => {
    await expect(openChanged(change)).rejects.toMatchObject({
      code: 'CROSSVAL_BAD_RECORDING',
      message: expect.stringMatching(message),
    });
  });

  test('refuses a later version by name', async () => {
    await expect(openChanged((of) => (of.version = 2 as never))).rejects.toMatchObject({
      code: 'CROSSVAL_UNSUPPORTED_VERSION',
    });
  });

  test('takes nothing from prototypes', async () => {
    const text = new TextDecoder().decode(whole.json);
    const polluted = text.replace('"vocabSize":16,', '"__proto__":{"vocabSize":16},');
    expect(polluted).not.toBe(text);
    const open = openRecording(reader({ ...whole, json: new TextEncoder().encode(polluted) }));
    await expect(open).rejects.toMatchObject({ code: 'CROSSVAL_BAD_RECORDING' });
  });

  test.each(['', '{', 'null', '[]', '7'])('refuses %j', async (text) => {
    await expect(openRecording(reader({ ...whole, json: new TextEncoder().encode(text) }))).rejects.toMatchObject({
      code: 'CROSSVAL_BAD_RECORDING',
    });
  });
});
