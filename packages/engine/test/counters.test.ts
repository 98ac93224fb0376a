import { KERNEL_REGISTRY } from '@bittern/kernels';
import { describe, expect, test } from 'vitest';
import { KV_TYPES, type KernelCounter, type KvType, loadModel, type Model } from '../src/index.ts';
import { RECORDED } from './fixtures.ts';
import { readBytes } from './parity.ts';
import { VARIANTS } from './variants.ts';

// What kernels count follows from the model's shape and the batches that were evaluated, by the formulas of
// docs/kernel-counters.md, which are written here once more.

interface Batch {
  readonly position: number;
  readonly rows: number;
  readonly logits: 'all' | 'last';
}

const SCREENED_TOP_K = 5;

type Count = Omit<KernelCounter, 'id' | 'nanoseconds'>;

class Expected {
  readonly counts: Record<string, Count> = {};

  /** One call: rows, and for each of them elements and bytes; `once` - bytes of the call. */
  call(id: string, rows: number, elements: number, bytes: number, once = 0): void {
    const { calls, ...sum } = this.counts[id] ?? { calls: 0, rows: 0, elements: 0, bytes: 0 };
    this.counts[id] = {
      calls: calls + 1,
      rows: sum.rows + rows,
      elements: sum.elements + rows * elements,
      bytes: sum.bytes + rows * bytes + once,
    };
  }
}

function expectedOf(
  { config, kernelVariant: variant, kernelChoice: choice }: Model,
  batches: readonly Batch[],
  head: 'exact' | 'screened',
  kvType: KvType = 'f16',
) {
  const { embeddingLength: width, feedForwardLength: inner, headCount, headCountKv, headDim, vocabSize } = config;
  const expected = new Expected();
  const call = (id: string, ...rest: [rows: number, elements: number, bytes: number, once?: number]): void =>
    expected.call(`${id}_${variant}`, ...rest);
  const kv = headCountKv * headDim;
  for (const { position, rows, logits } of batches) {
    const cells = Math.max(32, Math.ceil((position + rows) / 32) * 32);
    let n = rows;
    const normAndQuantize = (length: number): void => {
      call('rms_norm', n, length, 8 * length, 4 * length);
      call('quantize_rows', n, length, 5 * length + 8);
    };
    const linear = (m: number, k: number): void => {
      if (n === 1) expected.call(choice.gemv, m, k, k / 4 + 4, k + 8);
      else expected.call(choice.gemm, m, n * k, k / 4 + 4 * n, n * (k + 8));
    };
    const flat = (id: string, count: number, bytes: number): void => call(id, count, 1, bytes);
    for (let row = 0; row < rows; row++) flat('widen_f16', width, 6);
    for (let layer = 0; layer < config.blockCount; layer++) {
      normAndQuantize(width);
      linear(width, width);
      linear(kv, width);
      linear(kv, width);
      call('rope_neox', n, headCount * headDim, 8 * headCount * headDim + 4 * headDim);
      call('rope_neox', n, kv, 8 * kv + 4 * headDim);
      const [suffix, valueBytes] = kvType === 'f16' ? ['', 2] : ['_f32', 4];
      call(`store_keys_values${suffix}`, n, 2 * kv, 2 * (4 + valueBytes) * kv);
      const read = headCount * 2 * valueBytes * cells * headDim;
      call(`attention${suffix}`, headCount * n, 2 * cells * headDim, 8 * headDim, read);
      normAndQuantize(width);
      linear(width, width);
      if (layer === config.blockCount - 1 && logits === 'last') n = 1;
      flat('add', n * width, 12);
      normAndQuantize(width);
      linear(inner, width);
      linear(inner, width);
      flat(config.activation === 'silu' ? 'silu_gate' : 'relu_squared_gate', n * inner, 12);
      normAndQuantize(inner);
      linear(width, inner);
      flat('add', n * width, 12);
    }
    call('rms_norm', n, width, 8 * width, 4 * width);
    if (n === 1) flat('round_to_f16', width, 8);
    if (head === 'screened') {
      const blocks = Math.ceil(width / 128);
      call('f16_head_quantized', 1, width, 4 * width + 256 * blocks + 32);
      call('f16_head_screened', vocabSize, width, 96 * blocks + 16, 256 * blocks + 32);
      call('f16_head_largest', vocabSize, 1, 4);
      call('f16_head_selected', vocabSize, 1, 4, 4 * SCREENED_TOP_K);
    } else if (n === 1) call('f16_gemv', vocabSize, width, 2 * width + 4, 4 * width);
    else
      for (let first = 0; first < n; first += 16) {
        const some = Math.min(16, n - first);
        call('f16_gemm', vocabSize, some * width, 2 * width + 4 * some, 4 * some * width);
      }
  }
  return expected.counts;
}

function byId(counters: readonly KernelCounter[]): Record<string, Count> {
  return Object.fromEntries(
    counters.map(({ id, calls, rows, elements, bytes }) => [id, { calls, rows, elements, bytes }]),
  );
}

const MODELS = RECORDED.filter(({ name }) => name !== 'storyteller');
const PROMPT = Array.from({ length: 37 }, (_, index) => (index * 31) % 512);

describe.each(VARIANTS)('%s kernels count', (kernels) => {
  test.each(
    MODELS.flatMap((model) =>
      KV_TYPES.flatMap((kvType) => [1, 2, 3].map((threads) => ({ ...model, kvType, threads }))),
    ),
  )(
    'what the shape of $name, a cache of $kvType and the batches say, $threads thread(s)',
    async ({ model: url, kvType, threads }) => {
      using model = await loadModel(readBytes(url), { kernels, threads });
      const loading = model.counters();
      const matrices = 7 * model.config.blockCount;
      expect(loading.find(({ id }) => id === `pack_row_pairs_${kernels}`)?.calls).toBe(matrices);
      const batches: Batch[] = [
        { position: 0, rows: 37, logits: 'all' },
        { position: 37, rows: 5, logits: 'last' },
        { position: 42, rows: 1, logits: 'last' },
        { position: 43, rows: 1, logits: 'all' },
      ];
      using session = model.createSession({ contextLength: 64, kvType });
      model.resetCounters();
      expect(model.counters()).toEqual([]);
      for (const { rows, logits } of batches) await session.evaluate(PROMPT.slice(0, rows), { logits });
      const counters = model.counters();
      expect(byId(counters)).toEqual(expectedOf(model, batches, 'exact', kvType));
      expect(new Set(counters.map(({ nanoseconds }) => nanoseconds))).toEqual(new Set([0]));
      const known = new Set(KERNEL_REGISTRY.map(({ id }) => id));
      expect(counters.filter(({ id }) => !known.has(id))).toEqual([]);
    },
  );

  test.each([1, 2, 3])(
    'the screened head, of which only the refined and the rescored rows follow from data, %i thread(s)',
    async (threads) => {
      using model = await loadModel(readBytes(MODELS[0]!.model), { kernels, threads, head: 'screened' });
      using session = model.createSession({ head: 'screened', topK: SCREENED_TOP_K, contextLength: 64 });
      model.resetCounters();
      const batches: Batch[] = [
        { position: 0, rows: 8, logits: 'last' },
        { position: 8, rows: 1, logits: 'last' },
        { position: 9, rows: 1, logits: 'last' },
      ];
      for (const { rows } of batches) await session.evaluate(PROMPT.slice(0, rows));
      const {
        [`f16_head_rescored_${kernels}`]: rescored,
        [`f16_head_refined_${kernels}`]: refined,
        ...others
      } = byId(model.counters());
      expect(others).toEqual(expectedOf(model, batches, 'screened'));
      const { embeddingLength: width, vocabSize } = model.config;
      expect(rescored!.rows).toBeGreaterThanOrEqual(2 * 3 * SCREENED_TOP_K);
      expect(rescored!.rows).toBeLessThan((3 * vocabSize) / 4);
      expect(rescored).toEqual({
        calls: 6,
        rows: rescored!.rows,
        elements: rescored!.rows * width,
        bytes: rescored!.rows * (2 * width + 4) + 6 * 4 * width,
      });
      const blocks = Math.ceil(width / 128);
      expect(refined!.rows).toBeGreaterThanOrEqual(3 * SCREENED_TOP_K);
      expect(refined).toEqual({
        calls: 3,
        rows: refined!.rows,
        elements: refined!.rows * width,
        bytes: refined!.rows * (32 * blocks + 24) + 3 * (256 * blocks + 32 + 4 * SCREENED_TOP_K + 4 * vocabSize),
      });
    },
  );

  test.each([1, 2])('time where it is asked for, never more than passes, %i thread(s)', async (threads) => {
    using model = await loadModel(readBytes(MODELS[0]!.model), { kernels, threads });
    model.timeKernels(true);
    using session = model.createSession();
    model.resetCounters();
    const start = performance.now();
    await session.evaluate(PROMPT);
    const elapsed = (performance.now() - start) * 1e6;
    const counters = model.counters();
    expect(counters.filter(({ nanoseconds }) => !(nanoseconds > 0))).toEqual([]);
    const total = counters.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0);
    expect(total).toBeLessThanOrEqual(elapsed + counters.length);
    expect(total).toBeGreaterThan(elapsed / 10);
  });
});
