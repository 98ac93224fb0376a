import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { type ConformanceCase, conformanceCases } from '../src/conformance.ts';
import { type KernelCounter } from '../src/counters.ts';
import { loadKernels } from '../src/load.ts';
import { MOST_OPERATIONS, OPERATIONS } from '../src/operations.ts';
import { KERNEL_REGISTRY } from '../src/registry.ts';
import { VARIANTS } from './variants.ts';

/** Exported, and no operation on arrays: control, and one number of two. */
const UNCOUNTED: ReadonlySet<string> = new Set([
  'fail',
  'memory',
  'ropeRatio',
  'runProgram',
  'serve',
  'stop',
  'pauseClock',
  'timeCalls',
  'useCounters',
]);

describe('the registry', () => {
  test('has every operation of every binary, by a code and an id of its own', async () => {
    for (const variant of VARIANTS) {
      const binary = readFileSync(new URL(`../wasm/${variant}-threads.wasm`, import.meta.url));
      const exported = WebAssembly.Module.exports(await WebAssembly.compile(binary)).map(({ name }) => name);
      const counted = exported.filter((name) => !UNCOUNTED.has(name));
      expect(counted.toSorted()).toEqual(Object.keys(OPERATIONS).toSorted());
    }
    const codes = Object.values(OPERATIONS).map(({ code }) => code);
    expect(new Set(codes).size).toBe(codes.length);
    expect(Math.max(...codes)).toBeLessThan(MOST_OPERATIONS);
    const ids = KERNEL_REGISTRY.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('tells reference kernels, and those that compute with quantized weights', () => {
    for (const { id, reference, device } of KERNEL_REGISTRY) {
      expect(id).toMatch(/^[a-z0-9_]+$/);
      expect(id.endsWith('_reference')).toBe(reference);
      expect(device).toBe('cpu');
    }
    const types = KERNEL_REGISTRY.filter((info) => info.quantized).map(({ weightType }) => weightType);
    expect(new Set(types)).toEqual(new Set(['I2_S', 'TL1', 'Q8_0', 'Q4_0', 'Q6_K', 'TQ2_0']));
    const quantized = KERNEL_REGISTRY.filter((info) => info.quantized && !info.reference).map(({ id }) => id);
    expect(quantized).toContain('i2s_gemm_relaxed_wide');
    expect(quantized).toContain('tl1_gemv_swizzle');
    expect(quantized).not.toContain('pack_row_pairs_simd128');
  });
});

/** Some of each operation, which their names begin with. Anew, so that the inputs are the same. */
function someCases(): ConformanceCase[] {
  const byOperation = Map.groupBy(conformanceCases(), ({ name }) => name.split(/[ ,]/)[0]);
  return [...byOperation.values()].flatMap((cases) => cases.filter((_, i) => i < 3 || i >= cases.length - 3));
}

describe.each(VARIANTS)('%s kernels', async (variant) => {
  const teams = await Promise.all([1, 2, 3].map((threads) => loadKernels({ variant, threads })));
  afterAll(() => {
    for (const kernels of teams) kernels.dispose();
  });
  test('count the same whatever the number of threads, each operation under its own id', { timeout: 60_000 }, () => {
    const [one, ...others] = teams.map((kernels) => {
      kernels.resetCounters();
      expect(kernels.counters()).toEqual([]);
      for (const testCase of someCases()) testCase.run(kernels);
      return kernels.counters();
    }) as [KernelCounter[], KernelCounter[], KernelCounter[]];
    for (const counters of others) expect(counters).toEqual(one);
    const known = new Map(KERNEL_REGISTRY.map((info) => [info.id, info]));
    for (const { id, calls, rows, elements, bytes, nanoseconds } of one) {
      expect({ id, reference: known.get(id)?.reference }).toEqual({ id, reference: false });
      expect(nanoseconds).toBe(0);
      for (const count of [calls, rows, elements, bytes]) {
        expect({ id, count, counted: Number.isSafeInteger(count) && count > 0 }).toEqual({ id, count, counted: true });
      }
    }
    // All but the forms of ternary products that were not chosen
    const missing = Object.keys(OPERATIONS).filter(
      (name) => !one.some(({ id }) => known.get(id)!.operation === name) && !name.startsWith('i2sGem'),
    );
    expect(missing).toEqual([]);
  });

  test('time calls only when they are asked to', () => {
    for (const kernels of teams) {
      const x = kernels.memory.allocate(4 * 4096);
      const time = (): number => {
        kernels.resetCounters();
        const start = performance.now();
        for (let i = 0; i < 50; i++) kernels.add(x, x, 4096, x);
        kernels.flush();
        const elapsed = 1e6 * (performance.now() - start);
        const [counter] = kernels.counters();
        expect(counter).toMatchObject({ calls: 50, elements: 50 * 4096, bytes: 50 * 12 * 4096 });
        expect(counter!.nanoseconds).toBeLessThanOrEqual(elapsed + 1);
        return counter!.nanoseconds;
      };
      expect(time()).toBe(0);
      kernels.timeCalls(true);
      expect(time()).toBeGreaterThan(0);
      kernels.timeCalls(false);
      expect(time()).toBe(0);
    }
  });
});
