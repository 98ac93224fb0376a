import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writeGguf } from '@bittern/gguf-parser';
import { describe, expect, test } from 'vitest';
import { builtInPolicy } from '../src/norms/built-in-policy.ts';
import { chooseRuleSet, parsePolicy } from '../src/norms/policy.ts';
import {
  bittern,
  changedModel,
  changeFloats,
  fileOf,
  MODEL,
  rawFloats,
  rawTensors,
  setScale,
  setTensorType,
} from './support.ts';

const TINY = fileURLToPath(new URL('../../../tools/fixtures/tiny-random/tiny-random.i2_s.gguf', import.meta.url));
const NORM = 'blk.2.attn_norm.weight';
const PROJECTION = 'blk.5.ffn_down.weight';

async function lnStats(path: string, ...options: string[]) {
  const { code, stdout, stderr } = await bittern(['inspect', path, '--ln-stats', '--json', ...options]);
  return { code, stderr, report: stdout === '' ? undefined : JSON.parse(stdout) };
}

const figures = async (path: string, name: string) => {
  const { report } = await lnStats(path, '--gate', 'none');
  return [...report.norms, ...report.projections].find((entry: { name: string }) => entry.name === name).figures;
};

test.each([MODEL, TINY])('every norm and projection of %s, with the figures of its bytes', async (path) => {
  const bytes = await readFile(path);
  const raw = rawTensors(bytes);
  const { code, report } = await lnStats(path);
  expect(code).toBe(0);
  const norms = raw.filter(({ typeId }) => typeId === 0);
  expect(report.norms).toHaveLength(norms.length);
  expect(norms.length).toBe(path === MODEL ? 4 * 8 + 1 : 4 * 4 + 1);
  for (const [index, tensor] of norms.entries()) {
    const values = rawFloats(bytes, tensor);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const meanSquare = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    expect(report.norms[index]).toEqual({
      name: tensor.name,
      type: 'F32',
      figures: {
        rms: expect.closeTo(Math.sqrt(meanSquare), 12),
        mean: expect.closeTo(mean, 12),
        min: Math.min(...values),
        max: Math.max(...values),
        zeros: values.filter((value) => value === 0).length,
        nan: 0,
        inf: 0,
      },
    });
  }
  const projections = raw.filter(({ typeId }) => typeId === 36);
  expect(report.projections).toEqual(
    projections.map(({ name, offsetBytes, elementCount }) => ({
      name,
      type: 'I2_S',
      figures: { scale: bytes.readFloatLE(offsetBytes + elementCount / 4) },
    })),
  );
});

test('zeros, NaN and infinities are counted, and the other figures are of what is finite', async () => {
  const special = [Number.NaN, Infinity, -Infinity, 0, -0, 0];
  const path = await changedModel((bytes) => changeFloats(bytes, NORM, (_, index) => special[index] ?? 2));
  const finite = 256 - 3;
  expect(await figures(path, NORM)).toEqual({
    rms: expect.closeTo(Math.sqrt((4 * 250) / finite), 12),
    mean: expect.closeTo(500 / finite, 12),
    min: 0,
    max: 2,
    zeros: 3,
    nan: 1,
    inf: 2,
  });
});

describe('--gate auto', () => {
  test('says which rule set it chose, and passes', async () => {
    const { code, stdout } = await bittern(['inspect', MODEL, '--ln-stats']);
    expect(code).toBe(0);
    expect(stdout).toContain(
      'Gate: rule set bitnet-b1.58:i2_s of auto, for architecture "bitnet-b1.58" and file type 40',
    );
    expect(stdout).toMatch(/^Passed: 33 norms, 56 projections$/m);
    expect(stdout).toMatch(/^ {2}output_norm\.weight +F32( +\d\.\d{5,6}){4} +0 +0 +0$/m);
  });

  test.each([
    ['bitnet-b1.58', 40, 'bitnet-b1.58:i2_s'],
    ['bitnet', 38, 'bitnet-b1.58:i2_s'],
    ['bitnet-25', 1, 'bitnet-b1.58'],
    ['bitnet-b1.58', undefined, 'bitnet-b1.58'],
    ['llama', 40, 'generic'],
    [undefined, undefined, 'generic'],
  ])('architecture %s and file type %s: %s', (architecture, fileType, name) => {
    expect(chooseRuleSet(builtInPolicy, architecture, fileType)?.name).toBe(name);
  });

  test.each([0.01, 0.013, 0.02])('an attn_norm of RMS %f, as in 2B4T, passes', async (rms) => {
    const path = await changedModel((bytes) => {
      for (let layer = 0; layer < 8; layer++) {
        changeFloats(bytes, `blk.${layer}.attn_norm.weight`, (_, index) => (index % 2 === 0 ? rms : -rms));
      }
    });
    const { code, report } = await lnStats(path);
    expect({ code, verdict: report.verdict, failures: report.failures }).toEqual({
      code: 0,
      verdict: 'pass',
      failures: [],
    });
    expect((await figures(path, NORM)).rms).toBeCloseTo(rms, 8);
  });

  test.each([
    ['NaN', (value: number, index: number) => (index === 7 ? Number.NaN : value), 'nan', 1, 'at most 0'],
    ['an infinity', (value: number, index: number) => (index === 7 ? -Infinity : value), 'inf', 1, 'at most 0'],
    ['only zeros', () => 0, 'rms', 0, '0.005 to 4'],
    ['values that are too small', () => 1e-3, 'rms', expect.closeTo(1e-3, 8), '0.005 to 4'],
    ['values that are too large', () => 5, 'rms', 5, '0.005 to 4'],
  ])('a norm with %s fails: tensor, figure and limit are named', async (_, change, figure, value, limit) => {
    const path = await changedModel((bytes) => changeFloats(bytes, NORM, change));
    const { code, report } = await lnStats(path);
    expect({ code, verdict: report.verdict }).toEqual({ code: 1, verdict: 'fail' });
    expect(report.failures).toEqual([{ tensor: NORM, figure, value, limit }]);
    const { code: textCode, stdout } = await bittern(['inspect', path, '--ln-stats']);
    expect(textCode).toBe(1);
    expect(stdout).toContain(`${NORM}: ${figure} is `);
    expect(stdout).toContain(`, must be ${limit}`);
    expect(stdout).toMatch(/^FAILED: 33 norms, 56 projections; broken limits: 1$/m);
  });

  test('a norm of nothing but NaN fails by its RMS too, which is NaN', async () => {
    const path = await changedModel((bytes) => changeFloats(bytes, NORM, () => Number.NaN));
    const { code, report } = await lnStats(path);
    expect(code).toBe(1);
    expect(report.failures).toEqual([
      { tensor: NORM, figure: 'nan', value: 256, limit: 'at most 0' },
      { tensor: NORM, figure: 'rms', value: 'NaN', limit: '0.005 to 4' },
    ]);
  });

  test.each([Number.NaN, Infinity, 0, -0.5])('a projection with the scale %f fails', async (scale) => {
    const path = await changedModel((bytes) => setScale(bytes, PROJECTION, scale));
    const { code, report } = await lnStats(path);
    expect(code).toBe(1);
    const value = Number.isFinite(scale) ? scale : String(scale);
    expect(report.failures).toEqual([{ tensor: PROJECTION, figure: 'scale', value, limit: '0.000001 to 1000000' }]);
  });

  test('a norm of another type fails for that', async () => {
    const path = await changedModel((bytes) => setTensorType(bytes, NORM, 30)); // BF16
    const { code, report } = await lnStats(path);
    expect(code).toBe(1);
    expect(report.failures).toEqual([{ tensor: NORM, figure: 'type', value: 'BF16', limit: 'F32' }]);
  });

  test('a file without norms fails: nothing was judged', async () => {
    const path = await fileOf(writeGguf({ metadata: [['general.architecture', 'string', 'llama']] }), 'none.gguf');
    const { code, report } = await lnStats(path);
    expect(code).toBe(1);
    expect(report).toMatchObject({
      gate: { ruleSet: { name: 'generic' } },
      failures: [{ tensor: '*', figure: 'count' }],
    });
    expect((await bittern(['inspect', path, '--ln-stats'])).stdout).toContain('the file: count is 0');
  });

  test('another architecture: biases may be zero, projections without one scale are told of', async () => {
    const f32 = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
    const path = await fileOf(
      writeGguf({
        metadata: [['general.architecture', 'string', 'gemma']],
        tensors: [
          { name: 'blk.0.attn_norm.weight', type: 'F32', shape: [2], data: f32(90, 110) },
          { name: 'blk.0.attn_norm.bias', type: 'F32', shape: [2], data: f32(0, 0) },
          { name: 'blk.0.attn_q.weight', type: 'Q8_0', shape: [1, 32], data: new Uint8Array(34) },
          { name: 'blk.0.attn_k.weight', type: 'F32', shape: [1, 2], data: f32(3, -4) },
        ],
      }),
      'gemma.gguf',
    );
    const { code, report } = await lnStats(path);
    expect({ code, verdict: report.verdict }).toEqual({ code: 0, verdict: 'pass' });
    expect(report.projections).toMatchObject([
      { name: 'blk.0.attn_q.weight', figures: {}, unmeasured: 'Q8_0 has no one scale' },
      { name: 'blk.0.attn_k.weight', figures: { rms: Math.sqrt(12.5), min: -4, max: 3 } },
    ]);
    expect((await bittern(['inspect', path, '--ln-stats'])).stdout).toContain(
      'Passed: 2 norms, 2 projections (1 of them not measured)',
    );
  });

  test('--gate none prints figures and judges nothing', async () => {
    const path = await changedModel((bytes) => changeFloats(bytes, NORM, () => Number.NaN));
    const { code, report } = await lnStats(path, '--gate', 'none');
    expect({ code, verdict: report.verdict, ruleSet: report.gate.ruleSet }).toEqual({
      code: 0,
      verdict: 'not-gated',
      ruleSet: null,
    });
    expect((await figures(path, NORM)).nan).toBe(256);
  });
});

describe('--gate FILE', () => {
  const policy = (changes: object = {}): string =>
    JSON.stringify({
      version: 1,
      ruleSets: [
        { name: 'other', architectures: ['llama'], norms: [], projections: [] },
        {
          name: 'mine',
          architectures: ['bitnet*'],
          fileTypes: [40],
          norms: [
            { pattern: 'output_norm.weight', types: ['F32'], limits: { max: { max: 0.5 }, rms: { min: 0 } } },
            { pattern: '*' },
          ],
          projections: [{ pattern: '*', limits: { scale: { min: 0 } } }],
          ...changes,
        },
      ],
    });

  test('judges by the first rule set that fits and the first rule that matches', async () => {
    const path = await fileOf(policy(), 'policy.json');
    const { code, report } = await lnStats(MODEL, '--gate', path);
    const { max } = await figures(MODEL, 'output_norm.weight');
    expect(code).toBe(1);
    expect(report).toMatchObject({ gate: { given: path, ruleSet: { name: 'mine' } } });
    expect(report.failures).toEqual([
      { tensor: 'output_norm.weight', figure: 'max', value: max, limit: 'at most 0.5' },
    ]);
  });

  test('NaN fails without a rule that names it, and a rule can allow it', async () => {
    const model = await changedModel((bytes) =>
      changeFloats(bytes, NORM, (value, index) => (index === 0 ? Number.NaN : value)),
    );
    const any = { norms: [{ pattern: '*' }] };
    expect((await lnStats(model, '--gate', await fileOf(policy(any), 'p.json'))).report.failures).toHaveLength(1);
    const allowed = { norms: [{ pattern: '*', limits: { nan: { max: 1 } } }] };
    expect((await lnStats(model, '--gate', await fileOf(policy(allowed), 'p.json'))).code).toBe(0);
  });

  test('a tensor without a rule, and a limit of a figure that is not there, fail', async () => {
    const norms = [{ pattern: 'blk.*' }];
    const projections = [{ pattern: '*', limits: { rms: { max: 1 } } }];
    const path = await fileOf(policy({ norms, projections }), 'policy.json');
    const { code, report } = await lnStats(MODEL, '--gate', path);
    expect(code).toBe(1);
    expect(report.failures).toHaveLength(1 + 56);
    expect(report.failures.slice(0, 2)).toEqual([
      { tensor: 'output_norm.weight', figure: 'rule', value: null, limit: 'one that matches its name' },
      { tensor: 'blk.0.attn_q.weight', figure: 'rms', value: null, limit: 'at most 1' },
    ]);
  });

  test('a policy without a rule set for the file is bad usage', async () => {
    const path = await fileOf(policy({ fileTypes: [1] }), 'policy.json');
    const { code, stderr, report } = await lnStats(MODEL, '--gate', path);
    expect({ code, report }).toEqual({ code: 2, report: undefined });
    expect(stderr).toContain('no rule set fits architecture "bitnet-b1.58" and file type 40');
  });

  const set = (changes: object): string =>
    JSON.stringify({ version: 1, ruleSets: [{ name: 'x', norms: [], projections: [], ...changes }] });
  const limits = (value: unknown): string => set({ norms: [{ pattern: '*', limits: value }] });
  test.each([
    ['no JSON', '{', 'the policy is not JSON'],
    ['a list', '[]', 'the policy is not an object'],
    ['another version', '{"version": 2, "ruleSets": []}', 'version is 2, not 1'],
    ['no rule sets', '{"version": 1, "ruleSets": []}', 'ruleSets is empty'],
    ['an unknown key', '{"version": 1, "rules": []}', 'the policy has the unknown key "rules"'],
    ['the key __proto__', '{"version": 1, "__proto__": {}}', 'unknown key "__proto__"'],
    ['no name', set({ name: undefined }), 'ruleSets[0].name is not a string'],
    ['norms that are no list', set({ norms: {} }), 'ruleSets[0].norms is not a list'],
    ['a rule without a pattern', set({ norms: [{}] }), 'ruleSets[0].norms[0].pattern is not a string'],
    ['a misspelt figure', limits({ rmss: { max: 1 } }), 'limits has the unknown key "rmss"'],
    ['a limit that is none', limits({ rms: {} }), 'limits.rms has neither min nor max'],
    ['a limit that is text', limits({ rms: { max: '1' } }), 'limits.rms.max is not a finite number'],
    ['limits the wrong way round', limits({ rms: { min: 2, max: 1 } }), 'limits.rms has a min above its max'],
    ['file types that are text', set({ fileTypes: ['40'] }), 'fileTypes[0] is not a finite number'],
    ['too many rules', set({ norms: Array.from({ length: 1001 }, () => ({})) }), 'has 1001 entries'],
    ['a pattern without end', set({ norms: [{ pattern: 'x'.repeat(1001) }] }), 'is not of 1 to 1000 characters'],
  ])('a policy with %s is refused, saying where', async (_, content, message) => {
    expect(() => parsePolicy(content, 'policy.json')).toThrow(`policy.json: `);
    expect(() => parsePolicy(content, 'policy.json')).toThrow(message);
    const { code, stderr, report } = await lnStats(MODEL, '--gate', await fileOf(content, 'policy.json'));
    expect({ code, report }).toEqual({ code: 2, report: undefined });
    expect(stderr).toContain(message);
  });

  test('a file that is too large, a folder or missing', async () => {
    const large = await fileOf(' '.repeat(2 ** 20 + 1), 'policy.json');
    expect((await lnStats(MODEL, '--gate', large)).stderr).toContain('a policy has at most 1048576');
    for (const path of ['no-such-policy.json', '/']) expect((await lnStats(MODEL, '--gate', path)).code).toBe(2);
  });

  test('the policy in README.md is one', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const [, example] = /```json\n([\s\S]*?)```/.exec(readme)!;
    const path = await fileOf(example!, 'policy.json');
    expect((await lnStats(MODEL, '--gate', path)).code).toBe(0);
  });
});
