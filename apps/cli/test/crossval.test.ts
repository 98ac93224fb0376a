import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSafetensors, type RecordingDocument, writeSafetensors } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import { bittern, changedModel, changedRecording, flipWeight, MODEL, sha256, temporaryFolder } from './support.ts';

interface Files {
  readonly json: string;
  readonly values: Uint8Array;
}

/** The first prompt of the recording only, which takes less time. */
function shortened({ json, values }: Files): Files {
  const arrays = Array.from(readSafetensors(values), ([name, array]) => [name, array.values] as const);
  const document: RecordingDocument = JSON.parse(json);
  return reseal({ ...document, runs: document.runs.filter(({ prompt }) => prompt === 0) }, arrays);
}

/** Writes arrays and what the document says of their file. Arrays that nothing refers to are left out. */
function reseal(document: RecordingDocument, arrays: Iterable<readonly [string, Float32Array]>): Files {
  const references = JSON.stringify([document.runs, document.traces]);
  const kept = [...arrays].filter(([name]) => references.includes(name));
  const values = writeSafetensors(kept.map(([name, array]) => [name, { shape: [array.length], values: array }]));
  const described = { sha256: sha256(values), bytes: values.length, arrays: kept.length };
  return { json: JSON.stringify({ ...document, values: described }), values };
}

/** A recording in which one logit, not a large one, of one position is another: its digests are those of the new row. */
function changeLogit({ json, values }: Files, difference: number): Files {
  const arrays = new Map(Array.from(readSafetensors(values), ([name, array]) => [name, array.values]));
  const document: RecordingDocument = JSON.parse(json);
  const { rows } = document.runs.find(({ reference, mode }) => reference === 'avx512' && mode === 'batch-all')!;
  const [digest, row] = [rows[2]!.sha256, arrays.get(rows[2]!.sha256)!.slice()];
  const id = row.indexOf(Math.min(...row));
  row[id]! += difference;
  const changedDigest = sha256(new Uint8Array(row.buffer));
  arrays.delete(digest);
  arrays.set(changedDigest, row);
  return reseal(JSON.parse(json.replaceAll(digest, changedDigest)), arrays);
}

function withoutTraces({ json, values }: Files): Files {
  const arrays = Array.from(readSafetensors(values), ([name, array]) => [name, array.values] as const);
  return reseal({ ...(JSON.parse(json) as RecordingDocument), traces: [] }, arrays);
}

/** A recording that says it is of another model. */
async function recordingOf(model: Uint8Array): Promise<string> {
  return changedRecording(({ json }) => ({
    json: json.replace(/("model":\{"file":"[^"]*","sha256":")[0-9a-f]{64}/, `$1${sha256(model)}`),
  }));
}

describe('a model that computes what was recorded', () => {
  test('the storyteller, without options but --exact', async () => {
    const { code, stdout } = await bittern(['crossval', '--exact']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/reference +bitnet\.cpp .*, avx512$/m);
    expect(stdout).toMatch(/reference +bitnet\.cpp .*, avx2$/m);
    expect(stdout).toMatch(
      /\nPassed: \d{2,} positions compared \(\d{2,} by value, \d+ by digest\), largest difference 0\n$/,
    );
  });

  test.each(['tiny-random', 'tiny-random-bitnet'])('%s', async (name) => {
    const folder = fileURLToPath(new URL(`../../../tools/fixtures/${name}/`, import.meta.url));
    const model = join(folder, `${name}.i2_s.gguf`);
    const argv = ['crossval', '--exact', '-m', model, '--reference', join(folder, 'recording'), '--json'];
    const { code, stdout } = await bittern(argv);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'ok', metrics: { max_abs_difference: 0 } });
  });

  test('--json has a report for each build; --numerics chooses', async () => {
    const reference = await changedRecording(shortened);
    const documents = [];
    for (const options of [[], ['--numerics', 'avx2']]) {
      documents.push(
        JSON.parse(
          (await bittern(['crossval', '-m', MODEL, '--reference', reference, '--exact', '--json', ...options])).stdout,
        ),
      );
    }
    const [all, avx2] = documents;
    expect(all).toMatchObject({
      status: 'ok',
      metrics: { max_abs_difference: 0 },
      ladders: [{ exact: true }, { exact: true }],
    });
    expect(all.ladders.map(({ ours }: { ours: { numerics: string } }) => ours.numerics)).toEqual(['avx512', 'avx2']);
    expect(avx2.ladders).toEqual([all.ladders[1]]);
    const { rowsByValue, rowsByDigest } = avx2.ladders[0].counts;
    expect(avx2.metrics).toMatchObject({ compared_by_value: rowsByValue, compared_by_digest: rowsByDigest });
  });

  test('a copy of the model under another name', async () => {
    const argv = ['-m', await changedModel(() => {}), '--reference', await changedRecording(shortened)];
    expect((await bittern(['crossval', '--numerics', 'avx2', ...argv])).code).toBe(0);
  });
});

describe('a divergence ends with 1', () => {
  test('one logit of one position: rung `positions` fails, the difference is told', async () => {
    const reference = await changedRecording((files) => changeLogit(shortened(files), 0.01));
    for (const [options, failure] of [
      [['--exact'], 'LOGITS_DIFFER'],
      [[], 'THRESHOLD_EXCEEDED'],
    ] as const) {
      const { code, stdout } = await bittern(['crossval', '-m', MODEL, '--reference', reference, '--json', ...options]);
      expect(code).toBe(1);
      const { status, divergence_token, metrics, ladders } = JSON.parse(stdout);
      expect({ status, divergence_token }).toEqual({ status: 'diverged', divergence_token: 2 });
      expect(metrics.max_abs_difference).toBeCloseTo(0.01, 5);
      expect(ladders).toMatchObject([
        { verdict: 'fail', failures: [{ rung: 'positions', code: failure, position: 2 }] },
        { verdict: 'pass' },
      ]);
    }
  });

  test('a difference within the tolerances fails under --exact only', async () => {
    const reference = await changedRecording((files) => changeLogit(shortened(files), 1e-5));
    const argv = ['crossval', '-m', MODEL, '--reference', reference];
    expect((await bittern(argv)).code).toBe(0);
    const { code, stdout } = await bittern([...argv, '--exact']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/Position 2: 1 of 4096 logits differ/);
    expect(stdout).toMatch(/\nFAILED: .*largest difference (?!0\n)[\d.e-]+\n$/);
  });

  test('one weight: the operation that it belongs to is named', async () => {
    let recording = '';
    const model = await changedModel(async (bytes) => {
      await flipWeight(bytes, 'blk.2.attn_q.weight');
      recording = await recordingOf(bytes);
    });
    const { code, stdout } = await bittern(['crossval', '-m', model, '--reference', recording, '--exact']);
    expect(code).toBe(1);
    expect(stdout).toContain('First differing operation: Qcur-2 (occurrence 0');
  });
});

describe('what cannot be compared ends with 3 and says why', () => {
  async function refusal(argv: readonly string[]): Promise<string> {
    const text = await bittern(['crossval', ...argv]);
    expect({ code: text.code, stdout: text.stdout }).toEqual({ code: 3, stdout: '' });
    const json = await bittern(['crossval', ...argv, '--json']);
    expect(json.code).toBe(3);
    expect(text.stderr).toBe(`bittern: ${JSON.parse(json.stdout).message}\n`);
    expect(JSON.parse(json.stdout)).toMatchObject({
      status: 'not-compared',
      metrics: { max_abs_difference: null, token_count: 0 },
      ladders: [],
    });
    return text.stderr;
  }

  test('a model with one weight changed is not the one that was recorded', async () => {
    const model = await changedModel((bytes) => flipWeight(bytes, 'blk.2.attn_q.weight'));
    expect(await refusal(['-m', model])).toMatch(
      /the recording is of storyteller.* \(SHA-256 [0-9a-f]{64}\), but .* has/,
    );
  });

  test('a model that is not there', async () => {
    expect(await refusal(['-m', 'no.gguf'])).toContain('no.gguf: no such file');
  });

  test('a model that is cut short', async () => {
    const model = await changedModel((bytes) => bytes.subarray(0, 100_000));
    expect(await refusal(['-m', model])).toContain(model);
  });

  test('a model of the right digest that the engine cannot run', async () => {
    let recording = '';
    const model = await changedModel(async (bytes) => {
      await flipWeight(bytes, 'blk.2.attn_q.weight', 3);
      recording = await recordingOf(bytes);
    });
    expect(await refusal(['-m', model, '--reference', recording])).toContain(`${model}: Tensor "blk.2.attn_q.weight"`);
  });

  test('a recording that is not there', async () => {
    const folder = await temporaryFolder();
    expect(await refusal(['-m', MODEL, '--reference', folder])).toContain('recording.json: no such file');
  });

  test('a file as a recording', async () => {
    expect(await refusal(['-m', MODEL, '--reference', MODEL])).toContain('a part of the path is not a folder');
  });

  test('an empty recording', async () => {
    const folder = await changedRecording(() => ({ json: '' }));
    expect(await refusal(['-m', MODEL, '--reference', folder])).toContain(`${folder}: recording.json is not JSON`);
  });

  test('a recording without its values, or with a part of them', async () => {
    const folder = await changedRecording(() => ({}));
    await truncate(join(folder, 'values.safetensors'), 10_000);
    expect(await refusal(['-m', MODEL, '--reference', folder])).toContain('values.safetensors (10000 bytes) is not');
    await writeFile(join(folder, 'values.safetensors'), '');
    expect(await refusal(['-m', MODEL, '--reference', folder])).toContain('values.safetensors (0 bytes) is not');
  });

  test('a build whose numerics are unknown, or none of the wanted ones', async () => {
    const changed = (to: string) =>
      changedRecording(({ json }) => ({ json: json.replace('"numerics":"avx2"', `"numerics":"${to}"`) }));
    expect(await refusal(['-m', MODEL, '--reference', await changed('neon')])).toContain('has numerics "neon"');
    const onlyAvx512 = ['-m', MODEL, '--reference', await changed('avx512'), '--numerics', 'avx2'];
    expect(await refusal(onlyAvx512)).toContain('no reference with numerics avx2, only avx512, avx512');
  });

  test('a recording without traces: the ladder stops where there is nothing to compare', async () => {
    const reference = await changedRecording(withoutTraces);
    const { code, stdout } = await bittern(['crossval', '-m', MODEL, '--reference', reference]);
    expect(code).toBe(3);
    expect(stdout).toMatch(/NOTHING_COMPARED/);
    expect(stdout).toMatch(/\nCOULD NOT COMPARE: 0 positions compared .*, no difference known\n$/);
  });
});
