import { describe, expect, test } from 'vitest';
import { i2sScratchBytes } from '../src/contract.ts';
import { KernelError } from '../src/errors.ts';
import { loadKernels, type WasmKernels } from '../src/load.ts';

const ROWS = 96;
const WIDTH = 1280;

/** A ternary product over `rows` rows with recognizable input; returns the pointer of its result. */
function prepare(kernels: WasmKernels): { run(): void; result(): Float32Array } {
  const { memory } = kernels;
  const weights = memory.allocate((ROWS * WIDTH) / 4);
  const x = memory.allocate(4 * WIDTH);
  const values = memory.allocate(WIDTH);
  const scales = memory.allocate(4);
  const sums = memory.allocate(4);
  const out = memory.allocate(4 * ROWS);
  kernels.reserveScratch(i2sScratchBytes(WIDTH));
  memory.bytes(weights, (ROWS * WIDTH) / 4).set(Array.from({ length: (ROWS * WIDTH) / 4 }, (_, i) => (i * 7) & 0xaa));
  memory.f32(x, WIDTH).set(Array.from({ length: WIDTH }, (_, i) => Math.sin(i)));
  return {
    run() {
      memory.f32(out, ROWS).fill(Number.NaN);
      kernels.quantizeRows(x, 0, 1, WIDTH, values, scales, sums);
      kernels.i2sGemv(weights, 0, ROWS, WIDTH, 0.03, values, scales, sums, out, kernels.scratch);
      kernels.flush();
    },
    result: () => memory.f32(out, ROWS).slice(),
  };
}

describe('a team of threads', () => {
  test('gives the same bits 1,000 times', async () => {
    const one = await loadKernels();
    const alone = prepare(one);
    alone.run();
    const expected = alone.result();
    const kernels = await loadKernels({ threads: 3 });
    const shared = prepare(kernels);
    for (let i = 0; i < 1000; i++) {
      shared.run();
      expect(shared.result()).toEqual(expected);
    }
    kernels.dispose();
  });

  test('runs programs longer than its buffer', async () => {
    const kernels = await loadKernels({ threads: 2 });
    const x = kernels.memory.allocate(64);
    const one = kernels.memory.allocate(64);
    kernels.memory.f32(one, 16).fill(1);
    for (let i = 0; i < 30_000; i++) kernels.add(x, one, 16, x);
    kernels.flush();
    expect([...kernels.memory.f32(x, 16)]).toEqual(Array.from({ length: 16 }, () => 30_000));
    kernels.dispose();
  });

  test('a thread that fails fails the call with its reason, and every later call', async () => {
    const kernels = await loadKernels({ threads: 2 });
    // Rows of 128 bytes: those from 32 on lie beyond the memory's end. Some are the second thread's.
    const end = kernels.memory.sizeBytes;
    kernels.f16Gemv(end - 4096, 0, 64, 64, 64, 64, 64, 16, 0);
    expect(() => kernels.flush()).toThrow(KernelError);
    expect(() => kernels.flush()).toThrow(/lost .*out of bounds/);
    kernels.dispose();
  });

  test('what only the first thread does comes after what was recorded before it', async () => {
    const kernels = await loadKernels({ threads: 2 });
    const [a, b] = [kernels.memory.allocate(16), kernels.memory.allocate(16)];
    kernels.memory.f32(a, 4).fill(1);
    kernels.add(a, a, 4, a);
    kernels.multiplyAdd(a, a, a, 4, b);
    expect([...kernels.memory.f32(b, 4)]).toEqual([6, 6, 6, 6]);
    kernels.dispose();
  });

  test.each([1, 2])('scratch that cannot grow stays as it was, %i thread(s)', async (threads) => {
    const kernels = await loadKernels({ threads });
    kernels.reserveScratch(256);
    const { scratch } = kernels;
    expect(() => kernels.reserveScratch(2 ** 33)).toThrow(KernelError);
    expect(kernels.scratch).toBe(scratch);
    const other = kernels.memory.allocate(256);
    expect(Math.abs(other - scratch)).toBeGreaterThanOrEqual(256);
    kernels.dispose();
  });

  test('no call succeeds after dispose', async () => {
    const kernels = await loadKernels({ threads: 2 });
    kernels.dispose();
    kernels.dispose();
    expect(() => kernels.flush()).toThrow('disposed');
    expect(() => kernels.add(64, 64, 4, 64)).toThrow('disposed');
  });

  test('options that are unknown or outside their set are refused', async () => {
    await expect(loadKernels({ thread: 2 } as object)).rejects.toThrow(TypeError);
    await expect(loadKernels({ variant: 'avx2' as 'relaxed' })).rejects.toThrow(RangeError);
  });

  test.each([0, -1, 1.5, Number.NaN])('%d threads are refused', async (threads) => {
    await expect(loadKernels({ threads })).rejects.toThrow(RangeError);
  });
});
