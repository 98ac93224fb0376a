import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import type { CrossvalDocument } from '../src/crossval/document.ts';
import {
  bittern,
  changedModel,
  fileOf,
  MODEL,
  type Outcome,
  setScale,
  rawTensors,
  temporaryFolder,
} from './support.ts';

const SCHEMA = JSON.parse(await readFile(new URL('../crossval.schema.json', import.meta.url), 'utf8'));
const validate = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true }).compile(SCHEMA);
const TINY = fileURLToPath(new URL('../../../tools/fixtures/tiny-random/', import.meta.url));
const TINY_MODEL = join(TINY, 'tiny-random.i2_s.gguf');
const PROMPT = 'The capital of France is';

/** One document that is as its schema says. */
async function documentOf(
  argv: readonly string[],
): Promise<{ code: number; document: CrossvalDocument; stderr: string }> {
  const { code, stdout, stderr } = await bittern(['crossval', ...argv, '--format', 'json']);
  const document: CrossvalDocument = JSON.parse(stdout);
  expect(validate(document), `${JSON.stringify(validate.errors?.slice(0, 5))}`).toBe(true);
  return { code, document, stderr };
}

/** The storyteller with the scale of one tensor a tenth larger. */
async function scaled(): Promise<string> {
  return await changedModel((bytes) => {
    const { offsetBytes, elementCount } = rawTensors(bytes).find(({ name }) => name === 'blk.2.attn_v.weight')!;
    setScale(bytes, 'blk.2.attn_v.weight', bytes.readFloatLE(offsetBytes + elementCount / 4) * 1.1);
  });
}

const against = (model: string): string[] => ['-m', model, '--reference-model', MODEL, '-p', 'Once upon a time'];

describe('the document', () => {
  test('of a recording that agrees', async () => {
    const { code, document } = await documentOf([
      '-m',
      TINY_MODEL,
      '--reference',
      join(TINY, 'recording'),
      '--exact',
      '-p',
      PROMPT,
    ]);
    expect(code).toBe(0);
    expect(document).toMatchObject({
      status: 'ok',
      backend: 'recording',
      divergence_token: -1,
      metrics: { min_cosine_similarity: 1, max_l2_distance: 0, mean_abs_difference: 0, max_kl_divergence: 0 },
    });
    expect(document.metrics.token_count).toBe(document.ladders.reduce((sum, { rows }) => sum + rows.length, 0));
    expect(document.ladders.map(({ cases }) => cases.map(({ id }) => id))).toEqual(
      Array.from({ length: 2 }, () => ['p0.batch-all', 'p0.batch-last', 'p0.sequential']),
    );
  });

  test('of a model that diverges: where and why, with the command that would confirm', async () => {
    const model = await scaled();
    const { code, document } = await documentOf(against(model));
    expect(code).toBe(1);
    expect(document).toMatchObject({
      status: 'diverged',
      backend: 'bittern',
      divergence_token: 0,
      ladders: [
        {
          where: { diff: { first: { name: 'Vcur-2', layer: 2 }, lastEqual: { name: 'Kcur-2', occurrence: 1 } } },
          operations: { inexact: [{ name: 'Vcur-2' }] },
        },
      ],
    });
    expect(document.ladders[0]?.why[0]).toMatchObject({ id: 'tensor-scale' });
    expect(document.ladders[0]?.why[0]?.confirm).toBe(
      'bittern inspect model.gguf --tensors "blk.2.attn_v.weight" --ln-stats',
    );
  });

  test('of what could not be compared', async () => {
    const { code, document } = await documentOf(['-m', 'no.gguf']);
    expect(code).toBe(3);
    expect(document).toMatchObject({ status: 'not-compared', backend: null, metrics: { token_count: 0 } });
  });

  test.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'of a llama.cpp that runs, with its reports: operations both ways, noise and bisect',
    async () => {
      const folder = await temporaryFolder();
      const [html, junit] = ['r.html', 'r.xml'].map((name) => join(folder, name));
      const argv = ['-m', TINY_MODEL, '--cpp-backend', 'llama', '-p', PROMPT, 'def', '-n', '2', '--mode', 'sequential'];
      const more = ['--per-op', '--bisect', '--calibrate', '--html', html!, '--junit', junit!];
      const { code, document } = await documentOf([...argv, ...more]);
      expect(code).toBe(0);
      expect(document).toMatchObject({ status: 'ok', backend: 'llama', notInstalled: [], bisect: [null] });
      const [ladder] = document.ladders;
      expect(ladder!.cases.map(({ id }) => id)).toEqual(['p0.sequential', 'p1.sequential']);
      // Ours on llama.cpp's inputs, one token at a time: every bit. Its own on ours, as a batch: nearly.
      expect(ladder!.operations!.compared).toBeGreaterThan(300);
      expect(ladder!.operations!.inexact).toEqual([]);
      expect(document.forcedOperations!.length).toBeGreaterThan(20);
      expect(document.forcedOperations!.every(({ passed }) => passed)).toBe(true);
      expect(ladder!.noise.map(({ what }) => what)).toEqual(['llama.cpp sequential against llama.cpp batch-all']);
      for (const file of [html!, junit!]) expect(await readFile(file, 'utf8')).toContain('operation by operation');
    },
  );

  test('the schema refuses what is not there', () => {
    expect(validate({ format: 'bittern-crossval', version: 1, status: 'ok' })).toBe(false);
  });

  test('crossval-per-token is the same command', async () => {
    const argv = [
      '-m',
      TINY_MODEL,
      '--reference',
      join(TINY, 'recording'),
      '-p',
      PROMPT,
      '--numerics',
      'avx2',
      '--json',
    ];
    const { stdout } = await bittern(['crossval', ...argv]);
    expect(JSON.parse(stdout).status).toBe('ok');
    expect((await bittern(['crossval-per-token', ...argv])).stdout).toBe(stdout);
  });
});

describe('what is compared', () => {
  const recorded = ['-m', TINY_MODEL, '--reference', join(TINY, 'recording'), '--numerics', 'avx512', '--exact'];

  test('--prompt, --mode and --max-tokens choose among what was recorded', async () => {
    const { document } = await documentOf([...recorded, '-p', PROMPT, '--mode', 'sequential', '--max-tokens', '3']);
    expect(document.ladders[0]).toMatchObject({
      cases: [{ id: 'p0.sequential', ids: { length: 6 } }],
      counts: { decodeSteps: 3 },
    });
  });

  test.each([
    [['-p', 'never recorded'], /the recording has no run of "never recorded".*It has "The capital/],
    [['-p', PROMPT, '--max-tokens', '17'], /has 16 greedy ids of p0\.batch-all, not 17/],
  ])('what was not recorded is not made up: %j', async (argv, message) => {
    const { code, stderr } = await documentOf([...recorded, ...argv]);
    expect(code).toBe(3);
    expect(stderr).toMatch(message);
  });

  test('--ladder climbs up to a rung, --only that one', async () => {
    const statuses = async (...argv: string[]): Promise<string[]> =>
      (await documentOf([...recorded, '-p', PROMPT, ...argv])).document.ladders[0]!.rungs.map(({ status }) => status);
    expect(await statuses('--ladder', 'masks')).toEqual([
      'pass',
      'pass',
      'pass',
      'pass',
      'skipped',
      'skipped',
      'skipped',
    ]);
    expect(await statuses('--ladder', 'positions', '--only')).toEqual([
      'pass',
      'skipped',
      'skipped',
      'skipped',
      'skipped',
      'pass',
      'skipped',
    ]);
  });

  test('--from and --positions choose positions', async () => {
    const argv = [...recorded, '-p', PROMPT, '--mode', 'batch-all', '--from', '2', '--positions', '3'];
    const { code, document } = await documentOf(argv);
    expect(code).toBe(0);
    expect(document.ladders[0]!.rows.map(({ position }) => position)).toEqual([2, 3, 4]);
    expect(document.ladders[0]!.rungs[4]).toMatchObject({ rung: 'first-logit', status: 'skipped' });
  });

  test('positions beyond the prompt are nothing to compare', async () => {
    const { code, document } = await documentOf([...recorded, '-p', PROMPT, '--mode', 'batch-all', '--from', '9']);
    expect(code).toBe(3);
    expect(document.ladders[0]!.failures).toMatchObject([{ rung: 'positions', code: 'NOTHING_COMPARED' }]);
  });

  test('several prompts are as many cases', async () => {
    const argv = ['-m', MODEL, '--reference-model', MODEL, '--exact', '-p', 'Once', 'upon a time', '--max-tokens', '2'];
    const { code, document } = await documentOf(argv);
    expect(code).toBe(0);
    expect(document.ladders[0]!.cases.map(({ id, text }) => [id, text])).toEqual([
      ['p0.batch-all', 'Once'],
      ['p1.batch-all', 'upon a time'],
    ]);
  });

  test('a template and a system prompt are part of the text', async () => {
    const argv = [
      '-m',
      MODEL,
      '--reference-model',
      MODEL,
      '-p',
      'Hi',
      '--prompt-template',
      'instruct',
      '--system-prompt',
      'Be kind.',
      '--exact',
    ];
    const { code, document } = await documentOf(argv);
    expect(code).toBe(0);
    expect(document.ladders[0]!.cases[0]!.text).toBe('System: Be kind.\n\nQ: Hi\nA:');
  });

  test('ids are printed on request', async () => {
    const argv = [
      'crossval',
      ...recorded,
      '-p',
      PROMPT,
      '--mode',
      'batch-all',
      '--dump-ids',
      '--dump-cpp-ids',
      '--verbose',
    ];
    const { stdout } = await bittern(argv);
    expect(stdout).toMatch(
      /^\[our token IDs of p0\.batch-all\]: (\[[\d,]+\])\n\[reference token IDs of p0\.batch-all\]: \1\n/,
    );
    expect(stdout).toMatch(/\nPosition 5 of p0\.batch-all: OK \(cos_sim: 1\.000000, l2_dist: 0, max_abs: 0\)\n/);
  });
});

describe('limits', () => {
  const base = async (): Promise<string[]> => [...against(await scaled()), '--ladder', 'positions'];
  const limitsOf = async (...argv: string[]) => {
    const { code, document } = await documentOf([...(await base()), ...argv]);
    return { code, thresholds: document.ladders[0]!.thresholds };
  };

  test('--cos-tol and --metrics gate by what they name', async () => {
    expect(await limitsOf('--cos-tol', '0.9', '--metrics', 'cos')).toEqual({
      code: 0,
      thresholds: {
        source: 'parity playbook, --cos-tol 0.9, --metrics cosine',
        firstLogit: { cosine: 0.9 },
        positions: { cosine: 0.9 },
      },
    });
    expect((await limitsOf('--cos-tol', '1', '--metrics', 'cos')).code).toBe(1);
    expect((await limitsOf('--metrics', 'kl,topk')).thresholds.positions).toEqual({ kl: 5e-4, top5: 0.95 });
  });

  test('a file', async () => {
    const file = await fileOf(
      JSON.stringify({ version: 1, firstLogit: { maxAbs: 10 }, positions: { l2: 100 } }),
      'limits.json',
    );
    expect(await limitsOf('--thresholds', file)).toEqual({
      code: 0,
      thresholds: { source: file, firstLogit: { maxAbs: 10 }, positions: { l2: 100 } },
    });
    await writeFile(file, '{"version": 1, "firstLogit": {}, "positions": {"l2": 1}}');
    const refused = await documentOf(['--thresholds', file]);
    expect(refused.stderr).toContain('firstLogit has no limit, so that nothing could fail');
  });

  test('a metric without a limit cannot gate', async () => {
    const { code, stderr } = await bittern(['crossval', '--metrics', 'l2']);
    expect(code).toBe(2);
    expect(stderr).toContain('--metrics l2: parity playbook has no limit for it');
  });

  test('--calibrate measures the reference against itself and says so', async () => {
    const argv = [
      '-m',
      TINY_MODEL,
      '--reference',
      join(TINY, 'recording'),
      '-p',
      PROMPT,
      '--numerics',
      'avx512',
      '--calibrate',
    ];
    const { code, document } = await documentOf(argv);
    expect(code).toBe(0);
    const [ladder] = document.ladders;
    expect(ladder!.noise.map(({ what }) => what)).toEqual([
      'avx512 batch-all against avx512 sequential',
      'avx512 batch-all against avx2 batch-all',
    ]);
    // Known of this model: token by token differs from a batch, far beyond the playbook's limit (docs/numerics.md, section 6).
    expect(ladder!.noise[0]!.positions.maxAbs).toBeGreaterThan(0.1);
    expect(ladder!.thresholds.positions.maxAbs).toBe(
      Math.max(...ladder!.noise.map(({ positions }) => positions.maxAbs!)),
    );
  });
});

test('--calibrate of our own engine: its modes and builds differ, its threads do not', async () => {
  const { code, document } = await documentOf([...against(MODEL), '--calibrate']);
  expect(code).toBe(0);
  const noise = document.ladders[0]!.noise.map(({ what, positions }) => [what, positions.maxAbs! > 0]);
  expect(noise).toEqual([
    ['avx512 batch-all against avx512 sequential', true],
    ['avx512 batch-all against avx512 batch-all, 2 threads', false],
    ['avx512 batch-all against avx2 batch-all', true],
  ]);
});

describe('looking closer', () => {
  test('--per-op feeds every operation, and needs values', async () => {
    const storyteller = ['-p', 'Once upon a time', '--numerics', 'avx512', '--mode', 'batch-all', '--per-op'];
    const { code, document } = await documentOf(storyteller);
    expect(code).toBe(0);
    expect(document.ladders[0]!.operations).toMatchObject({ compared: 212, without: 0, inexact: [] });
    const { stdout } = await bittern(['crossval', ...storyteller]);
    expect(stdout).toMatch(
      /\nOperations fed with the reference's own inputs \(5 ids, mode batch-all\): 212 compared\n/,
    );
  });

  test('--bisect finds the shortest prefix', async () => {
    const model = await changedModel((bytes) => {
      // Of an id that stands once in the prompt, at position 4.
      const table = rawTensors(bytes).find(({ name }) => name === 'token_embd.weight')!;
      bytes.fill(0x2c, table.offsetBytes + 512 * 544, table.offsetBytes + 512 * 545);
    });
    const thresholds = await fileOf(
      JSON.stringify({ version: 1, firstLogit: { kl: 1e-3 }, positions: { kl: 1e-3 } }),
      'kl.json',
    );
    const argv = [
      '-m',
      model,
      '--reference-model',
      MODEL,
      '-p',
      'Once upon a time there was a little king',
      '--bisect',
      '--thresholds',
      thresholds,
    ];
    const { document } = await documentOf(argv);
    const [found] = document.bisect!;
    expect(found).toMatchObject({ promptLength: document.ladders[0]!.cases[0]!.ids.length });
    expect(found!.tried.find(({ length }) => length === found!.length - 1)?.diverges ?? false).toBe(false);
    expect(found!.tried.find(({ length }) => length === found!.length)?.diverges).toBe(true);
    expect(document.ladders[0]!.cases[0]!.ids[found!.position]).toBe(found!.token);
    expect((await bittern(['crossval', '--bisect'])).code).toBe(2);
  });

  test('other numerics of our own engine differ, by the order of float sums', async () => {
    const argv = ['-m', TINY_MODEL, '--reference-numerics', 'avx2', '-p', PROMPT, '--exact'];
    const { code, document } = await documentOf(argv);
    expect(code).toBe(1);
    expect(document.ladders[0]!.why[0]).toMatchObject({ id: 'float-order' });
  });
});

describe('reports', () => {
  let failing: Outcome;
  test('HTML, JUnit and GitHub', async () => {
    const folder = await temporaryFolder();
    const [html, junit, summary] = ['r.html', 'r.xml', 'summary.md'].map((name) => join(folder, name));
    const reports = ['--html', html!, '--junit', junit!, '--github'];
    failing = await bittern(['crossval', ...against(await scaled()), ...reports], {
      env: { GITHUB_STEP_SUMMARY: summary },
    });
    expect(failing.code).toBe(1);
    expect(failing.stderr).toMatch(
      /^::error title=bittern avx512 against bittern avx512 on model\.gguf%3A first-logit/,
    );
    expect(await readFile(html!, 'utf8')).toContain('Probable causes');
    expect(await readFile(junit!, 'utf8')).toContain('<failure type="THRESHOLD_EXCEEDED"');
    expect(await readFile(summary!, 'utf8')).toContain('| first-logit | fail |');
  });
});

describe('tokens', () => {
  test('another pre-tokenizer on our side is told, with the ids around the first that differs', async () => {
    const argv = ['crossval', '--reference-numerics', 'avx512', '-p', "It's 1,234 o'clock", '--pre', 'default'];
    const { code, stdout } = await bittern(argv);
    expect(code).toBe(1);
    expect(stdout).toMatch(/\ntokens TOKENS_DIFFER in p0\.batch-all\n.*\n {4}index +reference +ours\n/);
    expect(stdout).toMatch(/\n {2}> \d+ +\d+ ".*" +\d+ ".*"\n/);
    expect(stdout).toMatch(/\n {2}1\. another pre-tokenizer, or another vocabulary \(0\.90\)\n/);
  });
});
