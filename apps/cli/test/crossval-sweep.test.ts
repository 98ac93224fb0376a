import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { SweepDocument } from '../src/crossval/sweep.ts';
import { bittern, changedModel, fileOf, flipWeight, MODEL, temporaryFolder } from './support.ts';

const THREE = fileURLToPath(new URL('../sweeps/three-scenarios.yaml', import.meta.url));
const TINY = fileURLToPath(new URL('../../../tools/fixtures/tiny-random/', import.meta.url));

const sweepOf = (lines: readonly string[]): Promise<string> => fileOf(lines.join('\n'), 'sweep.yaml');

describe('crossval sweep', () => {
  test('the three scenarios of the old script, both sides traced', async () => {
    const traces = join(await temporaryFolder(), 'traces');
    const { code, stdout } = await bittern([
      'crossval',
      'sweep',
      THREE,
      '--reference-model',
      MODEL,
      '--traces',
      traces,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^1\/3 model \/ one .*: ok, 5 positions\n2\/3 model \/ two .*\n3\/3 model \/ four .*/);
    expect(stdout).toMatch(
      /\nPassed: 3 ok, 0 diverged, 0 not compared, of 3 scenarios; 20 positions compared \(20 by value, 0 by digest\), largest difference 0\n$/,
    );
    const [ours, reference] = ['ours', 'reference'].map((side) =>
      join(traces, 'scenario3/bittern_avx512/p0_batch-all', side),
    );
    expect((await bittern(['trace-diff', reference!, ours!])).stdout).toMatch(/^Traces: EQUAL \(exact\)/);
  });

  test('every combination of models, prompts, modes and references, in shards that merge to the whole', async () => {
    const broken = await changedModel((bytes) => flipWeight(bytes, 'blk.2.attn_q.weight'));
    const file = await sweepOf([
      'version: 1',
      'exact: true',
      'models:',
      `  - { name: whole, file: '${MODEL}' }`,
      `  - { name: broken, file: '${broken}' }`,
      'prompts:',
      '  - { name: a, text: Once upon, maxTokens: 1 }',
      '  - { name: b, text: a time, maxTokens: 2, template: instruct }',
      'modes: [batch-all, sequential]',
      'references:',
      `  - { name: itself, model: '${MODEL}' }`,
    ]);
    const folder = await temporaryFolder();
    const shards = [1, 2, 3].map((index) => join(folder, `${index}.json`));
    const codes = [];
    for (const [index, out] of shards.entries()) {
      codes.push((await bittern(['crossval', 'sweep', file, '--shard', `${index + 1}/3`, '--out', out])).code);
    }
    expect(codes).toEqual([1, 1, 1]);
    const junit = join(folder, 'r.xml');
    const merged = await bittern(['crossval', 'merge', ...shards.toReversed(), '--junit', junit, '--json']);
    expect(merged.code).toBe(1);
    const document: SweepDocument = JSON.parse(merged.stdout);
    expect(document).toMatchObject({ status: 'diverged', total: 8, shard: { index: 1, count: 1 } });
    expect(document.scenarios.map(({ name, document: of }) => [name, of.status])).toEqual(
      ['whole', 'broken'].flatMap((model) =>
        ['a', 'b'].flatMap((prompt) =>
          ['batch-all', 'sequential'].map((mode) => [
            `${model} / ${prompt} / ${mode} / itself`,
            model === 'whole' ? 'ok' : 'diverged',
          ]),
        ),
      ),
    );
    expect(document.scenarios[4]!.document.ladders[0]!.where?.diff.first?.name).toBe('Qcur-2');
    expect((await readFile(junit, 'utf8')).match(/<testsuite /g)).toHaveLength(8);

    for (const [files, message] of [
      [shards.slice(1), 'scenario 1 of 8 is missing'],
      [[...shards, shards[0]!], 'scenario 1 of 8 is there twice'],
    ] as const) {
      const { code, stderr } = await bittern(['crossval', 'merge', ...files]);
      expect(code).toBe(3);
      expect(stderr).toContain(message);
    }
    await writeFile(shards[1]!, (await readFile(shards[1]!, 'utf8')).slice(0, 5000));
    const cut = await bittern(['crossval', 'merge', ...shards]);
    expect({ code: cut.code, stderr: cut.stderr }).toEqual({ code: 3, stderr: expect.stringContaining('cut short') });
  });

  test('what could not be compared is worse than a pass, and a divergence is worse still', async () => {
    const missing = await sweepOf([
      'version: 1',
      'models:',
      `  - { name: tiny, file: '${join(TINY, 'tiny-random.i2_s.gguf')}' }`,
      'prompts: [{ text: The capital of France is }, { text: never recorded }]',
      'references:',
      `  - { recording: '${join(TINY, 'recording')}' }`,
    ]);
    const { code, stdout } = await bittern(['crossval', 'sweep', missing]);
    expect(code).toBe(3);
    expect(stdout).toMatch(
      /2\/2 .*NOT COMPARED.*\n {2}nothing was compared: the recording has no run of "never recorded"/,
    );
    expect(stdout).toMatch(
      /\nCOULD NOT COMPARE: 1 ok, 0 diverged, 1 not compared, of 2 scenarios; \d+ positions compared .*\n$/,
    );
  });

  test.each([
    [['version: 2'], 'version is not 1'],
    [['version: 1', 'prompt: []'], 'has the unknown key "prompt"; known: version'],
    [['version: 1', 'prompts: []'], 'prompts is empty'],
    [['version: 1', 'prompts: [{ text: a }, { text: a }]'], 'prompts has "a" twice'],
    [['version: 1', 'prompts: [{ text: a, maxTokens: 0 }]'], 'prompts[0].maxTokens is not a whole number'],
    [
      ['version: 1', 'references: [{ name: a }]'],
      'references[0] needs a recording, a cppBackend that runs, or a model',
    ],
    [['version: 1', 'references: [{ cppBackend: installed }]'], 'references[0] needs a recording'],
    [['version: 1', 'references: [{ cppBackend: llama, model: a.gguf }]'], 'references[0] needs a recording'],
    [['version: 1', 'references: [{ cppBackend: other }]'], 'cppBackend is not one of recording, llama'],
    [['version: 1', 'modes: [batch]'], 'modes[0] is not one of batch-all'],
    [['version: 1', 'prompts: &a [*a]'], 'sweep.yaml'],
    [['version: 1', 'prompts: ['], 'sweep.yaml'],
  ])('a file that is wrong is refused: %j', async (lines, message) => {
    const { code, stdout, stderr } = await bittern(['crossval', 'sweep', await sweepOf(lines)]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('unexpected error');
  });

  test.each([['0/2'], ['3/2'], ['1'], ['a/b']])('shard %s is no shard', async (shard) => {
    expect((await bittern(['crossval', 'sweep', THREE, '--shard', shard])).code).toBe(2);
  });

  test('a sweep without references needs one', async () => {
    const { code, stderr } = await bittern(['crossval', 'sweep', THREE]);
    expect(code).toBe(2);
    expect(stderr).toContain('names no reference');
  });
});

test('a scenario that was not compared is an error in the reports, too', async () => {
  const folder = await temporaryFolder();
  const [junit, html] = ['r.xml', 'r.html'].map((name) => join(folder, name));
  const file = await sweepOf([
    'version: 1',
    'exact: true',
    `models: [{ name: there, file: '${MODEL}' }, { name: missing, file: no.gguf }]`,
    'prompts: [{ text: Once }]',
    `references: [{ name: itself, model: '${MODEL}' }]`,
  ]);
  const { code, stderr } = await bittern(['crossval', 'sweep', file, '--junit', junit!, '--html', html!, '--github']);
  expect(code).toBe(3);
  expect(await readFile(junit!, 'utf8')).toMatch(/<testsuite name="missing \/ Once \/ itself".*errors="1"/);
  expect(await readFile(html!, 'utf8')).toMatch(
    /<strong>missing \/ Once \/ itself<\/strong>: not compared: .*no\.gguf/,
  );
  expect(stderr).toMatch(/::error title=missing \/ Once \/ itself%3A not compared::/);
});
