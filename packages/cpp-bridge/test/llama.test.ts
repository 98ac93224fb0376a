import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Backend, BackendNode } from '../src/backend.ts';
import { openLlama, type OpenLlamaOptions } from '../src/backends/llama.ts';
import { NO_HOOKS } from '../src/hooks.ts';
import { KNOWN_IDS, KNOWN_MODEL, KNOWN_TEXT, knownModel, knownTensors } from '../src/known-answer.ts';
import { KNOWN_LOGITS } from '../src/known-logits.ts';
import { ReferenceProcess } from '../src/process.ts';
import type { EvaluationMode } from '../src/protocol.ts';
import { type ReferenceVariant, referenceLogits } from './f64-reference.ts';
import { HAS_NPM_LIBRARY, npmReference } from './npm-reference.ts';

test('the known logits are those of the f64 reference', () => {
  const rows = referenceLogits(KNOWN_MODEL, knownTensors(), KNOWN_IDS);
  expect(KNOWN_LOGITS.length).toBe(rows.length);
  for (const [position, known] of KNOWN_LOGITS.entries()) {
    const row = rows[position]!;
    expect(known.map(([id]) => id)).toContain(row.indexOf(Math.max(...row)));
    for (const [id, logit] of known) expect(Math.abs(row[id]! - logit)).toBeLessThan(1e-8);
  }
});

describe.runIf(HAS_NPM_LIBRARY)('llama.cpp from npm', () => {
  let folder: string;
  let model: string;
  const opened: Backend[] = [];

  async function open(options: Partial<OpenLlamaOptions> = {}): Promise<Backend> {
    const backend = await openLlama({ model, library: await npmReference(), ...options });
    opened.push(backend);
    return backend;
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bittern-llama-'));
    model = join(folder, 'known.gguf');
    await writeFile(model, await knownModel());
  });
  afterAll(async () => {
    await Promise.all(opened.map((backend) => backend.dispose()));
    await rm(folder, { recursive: true, force: true });
  });

  async function rowsOf(backend: Backend, mode: EvaluationMode = 'batch-all'): Promise<Float32Array[]> {
    const rows: Float32Array[] = [];
    await backend.evaluate(KNOWN_IDS, { mode, onLogits: ({ values }) => rows.push(values) });
    return rows;
  }

  function digest(rows: readonly Float32Array[]): string {
    const hash = createHash('sha256');
    for (const row of rows) hash.update(row);
    return hash.digest('hex');
  }

  /** Largest error of any logit over the largest logit. */
  function errorOf(rows: readonly Float32Array[], variant: ReferenceVariant = {}): number {
    const expected = referenceLogits(KNOWN_MODEL, knownTensors(), KNOWN_IDS, variant);
    expect(rows.length).toBe(expected.length);
    const largest = Math.max(...expected.flatMap((row) => [...row].map(Math.abs)));
    return (
      Math.max(...expected.flatMap((row, at) => [...row].map((logit, id) => Math.abs(rows[at]![id]! - logit)))) /
      largest
    );
  }

  test('says all that decides its bits', async () => {
    const { info } = await open();
    expect(info).toMatchObject({
      backend: 'llama',
      generation: 'new',
      cpuVariant: 'haswell',
      numerics: null,
      version: { llama: '0.5.0-dev', ggml: '0.25.1' },
      context: { contextLength: 512, microBatch: 512, threads: 1, keys: 'f32', values: 'f32' },
      hooks: NO_HOOKS,
      model: { path: model, vocabSize: KNOWN_MODEL.vocabSize },
    });
    expect(info.files.map(({ path }) => path.replace(/.*\//, ''))).toEqual([
      'libllama.v0.5.0.so',
      'libggml.v0.5.0.so',
      'libggml-base.so',
      'libggml-cpu-haswell.so',
    ]);
    for (const { sha256 } of [...info.files, info.model]) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(info.knownAnswerError).toBeLessThan(1e-6);
  });

  test('two runs, and two processes, give the same bits in every mode', async () => {
    const [one, two] = [await open(), await open()];
    for (const mode of ['batch-all', 'batch-last', 'sequential'] as const) {
      const first = await rowsOf(one, mode);
      expect(first.length).toBe(mode === 'batch-last' ? 1 : KNOWN_IDS.length);
      const again = digest(first);
      expect(digest(await rowsOf(one, mode))).toBe(again);
      expect(digest(await rowsOf(two, mode))).toBe(again);
    }
  });

  test('the package’s own addon gives the same bits', async () => {
    const { files } = await npmReference();
    const from = dirname(files.llama);
    const addon = join(folder, 'addon');
    await mkdir(addon);
    for (const name of await readdir(from)) {
      // The addon takes the best CPU backend that it finds; here it finds one.
      const isOther = name.startsWith('libggml-cpu-') && join(from, name) !== files.cpu;
      if (!isOther) await copyFile(join(from, name), join(addon, name));
    }
    const output = join(folder, 'addon-rows.json');
    const program = fileURLToPath(new URL('./doubles/addon-rows.ts', import.meta.url));
    await promisify(execFile)(process.execPath, [program, addon, model, JSON.stringify(KNOWN_IDS), output]);
    const theirs = (JSON.parse(await readFile(output, 'utf8')) as number[][]).map((row) => Float32Array.from(row));
    expect(theirs.map(({ length }) => length)).toEqual(KNOWN_IDS.map(() => KNOWN_MODEL.vocabSize));
    expect(digest(await rowsOf(await open()))).toBe(digest(theirs));
  });

  test('every logit is that of the f64 reference', async () => {
    const backend = await open();
    expect(errorOf(await rowsOf(backend))).toBeLessThan(1e-6);
    expect(errorOf(await rowsOf(backend, 'sequential'))).toBeLessThan(1e-6);
  });

  test.each([
    [{ reluSquared: true, int8Activations: false }],
    [{ reluSquared: false, int8Activations: true }],
    [{ reluSquared: true, int8Activations: true }],
  ])('hooks %o make the graph another one, equal to the f64 reference of it', async (variant) => {
    const rows = await rowsOf(await open({ hooks: { ...NO_HOOKS, ...variant } }));
    expect(errorOf(rows, variant)).toBeLessThan(2e-6);
    expect(errorOf(rows)).toBeGreaterThan(1e-3);
  });

  test('a small micro-batch changes the way, not the result', async () => {
    const small = await open({ microBatch: 2 });
    expect(errorOf(await rowsOf(small))).toBeLessThan(1e-6);
    const steps: number[] = [];
    await small.trace(KNOWN_IDS, { mode: 'batch-all', nodes: /^l_out-0$/, onNode: ({ step }) => steps.push(step) });
    expect(steps).toEqual([0, 1, 2]);
  });

  test('tokenizes as the library does', async () => {
    const backend = await open();
    expect(await backend.tokenize(KNOWN_TEXT, { parseSpecial: false })).toEqual(KNOWN_IDS);
    expect(await backend.tokenize('a<s>', { parseSpecial: true })).toEqual([97, 257]);
    expect(await backend.tokenize('a<s>', { parseSpecial: false })).toEqual([97, 60, 115, 62]);
    expect(await backend.tokenize('', { parseSpecial: false })).toEqual([]);
    const bytes = new TextEncoder().encode('é\0€😀');
    expect(await backend.tokenize('é\0€😀', { parseSpecial: false })).toEqual([...bytes]);
  });

  test('decodes greedily, each id from the row before it', async () => {
    const backend = await open();
    const rows: number[][] = [];
    const ids = await backend.decode(KNOWN_IDS, {
      mode: 'batch-all',
      count: 5,
      onLogits: ({ position, values }) => rows.push([position, values.indexOf(Math.max(...values))]),
    });
    expect(rows).toEqual(ids.map((id, step) => [KNOWN_IDS.length - 1 + step, id]));
    // The same by evaluating what was decoded: a context that was left dirty would show.
    const prompt = [...KNOWN_IDS, ...ids];
    const again: number[] = [];
    await backend.evaluate(prompt, {
      mode: 'sequential',
      onLogits: ({ values }) => again.push(values.indexOf(Math.max(...values))),
    });
    expect(again.slice(KNOWN_IDS.length - 1, -1)).toEqual(ids);
  });

  async function nodesOf(backend: Backend, nodes?: RegExp): Promise<BackendNode[]> {
    const found: BackendNode[] = [];
    await backend.trace(KNOWN_IDS, { mode: 'batch-all', onNode: (node) => found.push(node), ...(nodes && { nodes }) });
    return found;
  }

  test('traces every named node that computes, and leaves the logits as they are', async () => {
    const backend = await open();
    const before = await rowsOf(backend);
    const nodes = await nodesOf(backend);
    expect(nodes.map(({ name, occurrence, op }) => `${name} ${occurrence} ${op}`).slice(0, 6)).toEqual([
      'embd 0 GET_ROWS',
      'norm-0 0 RMS_NORM',
      'attn_norm-0 0 MUL',
      'Qcur-0 0 MUL_MAT',
      'Qcur-0 1 ROPE',
      'Vcur-0 0 MUL_MAT',
    ]);
    const output = nodes.at(-1)!;
    expect([output.name, output.shape]).toEqual(['result_output', [KNOWN_IDS.length, KNOWN_MODEL.vocabSize]]);
    expect(digest([output.values])).toBe(digest(before));
    expect(digest(await rowsOf(backend))).toBe(digest(before));
    const embedding = knownTensors().get('token_embd.weight')!.values;
    const [id] = KNOWN_IDS;
    expect([...nodes[0]!.values.subarray(0, KNOWN_MODEL.width)]).toEqual([
      ...embedding.subarray(id! * KNOWN_MODEL.width, (id! + 1) * KNOWN_MODEL.width),
    ]);
    expect((await nodesOf(backend, /^Kcur-1$/g)).map(({ occurrence }) => occurrence)).toEqual([0, 1]);
    expect(await nodesOf(backend, /^no such node$/)).toEqual([]);
  });

  test('an overwritten node is what the next ones read, and its own value is what is traced', async () => {
    const backend = await open();
    const own = (await nodesOf(backend, /^l_out-0$/))[0]!;
    const norms: BackendNode[] = [];
    await backend.trace(KNOWN_IDS, {
      mode: 'batch-all',
      nodes: /^(?:l_out-0|norm-1)$/,
      overwrite: [{ name: 'l_out-0', occurrence: 0, step: 0, values: own.values.map((value) => 2 * value + 1) }],
      onNode: (node) => norms.push(node),
    });
    expect(norms[0]!.values).toEqual(own.values);
    const x = own.values.subarray(0, KNOWN_MODEL.width).map((value) => 2 * value + 1);
    const r = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + KNOWN_MODEL.epsilon);
    for (const [index, value] of x.entries()) expect(norms[1]!.values[index]).toBeCloseTo(value * r, 5);
  });

  test('a node to overwrite that is not there, or has another size, fails', async () => {
    const backend = await open();
    const overwrite = (name: string, length: number, step = 0) =>
      backend.trace(KNOWN_IDS, {
        mode: 'batch-all',
        onNode: () => {},
        overwrite: [{ name, occurrence: 0, step, values: new Float32Array(length) }],
      });
    const size = KNOWN_IDS.length * KNOWN_MODEL.width;
    await expect(overwrite('l_out-7', size)).rejects.toMatchObject({ code: 'BRIDGE_UNSUPPORTED' });
    await expect(overwrite('l_out-0', size, 1)).rejects.toMatchObject({ code: 'BRIDGE_UNSUPPORTED' });
    await expect(overwrite('l_out-0', size - 1)).rejects.toMatchObject({ code: 'BRIDGE_UNSUPPORTED' });
    expect(errorOf(await rowsOf(backend))).toBeLessThan(1e-6);
  });

  test('senseless requests are refused before the library sees them', async () => {
    const backend = await open({ contextLength: 8 });
    const evaluate = (ids: readonly number[], options: object = {}) =>
      backend.evaluate(ids, { mode: 'batch-all', onLogits: () => {}, ...options });
    await expect(evaluate([])).rejects.toThrow(RangeError);
    await expect(evaluate([KNOWN_MODEL.vocabSize])).rejects.toThrow(RangeError);
    await expect(evaluate([-1])).rejects.toThrow(RangeError);
    await expect(evaluate(Array.from({ length: 9 }, () => 1))).rejects.toThrow(RangeError);
    await expect(evaluate([1], { mode: 'batch-some' })).rejects.toThrow(TypeError);
    await expect(evaluate([1], { onlogits: 1 })).rejects.toThrow(TypeError);
    await expect(backend.decode([1, 2], { mode: 'batch-all', count: 8 })).rejects.toThrow(RangeError);
    await expect(backend.decode([1, 2], { mode: 'batch-all', count: 0 })).rejects.toThrow(RangeError);
    await evaluate([1]);
  });

  test('a model that does not load is refused in the library’s words', async () => {
    const broken = join(folder, 'broken.gguf');
    await writeFile(broken, (await knownModel()).subarray(0, 20_000));
    await expect(open({ model: broken })).rejects.toMatchObject({ code: 'BRIDGE_REFUSED' });
    await expect(open({ model: join(folder, 'absent.gguf') })).rejects.toMatchObject({ code: 'BRIDGE_REFUSED' });
  });

  test('a layout that is not the library’s is refused before it is used', async () => {
    const library = await npmReference();
    const { llama_context_params: context } = library.layouts;
    const {
      n_batch: first,
      n_ubatch: second,
      ...fields
    } = context.fields as Record<string, (typeof context.fields)[string]>;
    const layouts = [
      { ...context, sizeBytes: 152 },
      { ...context, sizeBytes: 168 },
      { ...context, fields: { ...fields, n_batch: second!, n_ubatch: first! } },
      { ...context, fields: { ...context.fields, type_k: { offsetBytes: 112, type: 'i32' as const } } },
    ];
    for (const layout of layouts) {
      await expect(
        open({ library: { ...library, layouts: { ...library.layouts, llama_context_params: layout } } }),
      ).rejects.toMatchObject({ code: 'BRIDGE_ABI_MISMATCH' });
    }
  });

  test('a layout that only the known answer can tell from the right one is refused too', async () => {
    const library = await npmReference();
    const { llama_batch: batch } = library.layouts;
    const { token, pos } = batch.fields;
    // Both are pointers to as many i32: what is read as ids are the positions.
    const exchanged = { ...batch, fields: { ...batch.fields, token: pos!, pos: token! } };
    const result = open({ library: { ...library, layouts: { ...library.layouts, llama_batch: exchanged } } });
    await expect(result).rejects.toMatchObject({ code: expect.stringMatching(/^BRIDGE_(?:KNOWN_ANSWER|REFUSED)$/) });
  });

  test('a library given as another backend or generation is refused', async () => {
    const library = await npmReference();
    await expect(open({ library: { ...library, backend: 'bitnet' } })).rejects.toMatchObject({
      code: 'BRIDGE_WRONG_LIBRARY',
    });
    await expect(open({ library: { ...library, generation: 'old' } })).rejects.toMatchObject({
      code: 'BRIDGE_WRONG_LIBRARY',
    });
    const files = { ...library.files, llama: join(folder, 'known.gguf') };
    await expect(open({ library: { ...library, files } })).rejects.toMatchObject({ code: 'BRIDGE_BAD_LIBRARY' });
    await expect(npmReference({ cpuVariant: 'z80' })).rejects.toMatchObject({ code: 'BRIDGE_NOT_FOUND' });
  });

  test('an assertion of the library ends the child, and is what the error says', async () => {
    const child = new ReferenceProcess({ name: 'llama.cpp' });
    const context = { contextLength: 256, microBatch: 512, threads: 1, keys: 'f32', values: 'f32' } as const;
    await child.request({ kind: 'open', library: await npmReference() });
    await child.request({ kind: 'load', model, context, hooks: NO_HOOKS });
    const ids = Array.from({ length: 300 }, () => 1);
    const error = await child.request({ kind: 'evaluate', ids, mode: 'batch-all' }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'BRIDGE_ABORTED', message: expect.stringMatching(/SIGABRT.*GGML_ASSERT/) });
    await child.dispose();
  });

  test('after disposal nothing is answered', async () => {
    const backend = await open();
    await backend.dispose();
    await backend.dispose();
    await expect(backend.tokenize('x', { parseSpecial: false })).rejects.toMatchObject({ code: 'BRIDGE_DISPOSED' });
  });
});
