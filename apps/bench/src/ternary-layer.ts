import { i2sScratchBytes, loadKernels, type WasmKernels } from '@bittern/kernels';
import type { Subject } from './measure.ts';
import type { ModelOptions } from './options.ts';
import { RepeatedCall } from './repeated-call.ts';
import type { ModelShape } from './synthetic-model.ts';

type LayerShape = Pick<ModelShape, 'embeddingLength' | 'feedForwardLength' | 'headCount' | 'headCountKv'>;

/** Rows and columns of a layer's ternary matrices: query, key, value, attention output, gate, up, down. */
function layerMatrices(shape: LayerShape): (readonly [rows: number, columns: number])[] {
  const { embeddingLength: width, feedForwardLength: inner } = shape;
  const kvLength = (width / shape.headCount) * shape.headCountKv;
  return [
    [width, width],
    [kvLength, width],
    [kvLength, width],
    [width, width],
    [inner, width],
    [inner, width],
    [width, inner],
  ];
}

/** The ternary products of one layer for a prompt, and nothing else: for each number of threads and of tokens. */
export async function withTernaryLayers(
  shape: LayerShape,
  options: Pick<ModelOptions, 'threads' | 'kernels'> & { readonly tokens: readonly number[] },
  use: (subjects: readonly Subject[]) => Promise<void>,
): Promise<void> {
  const all: WasmKernels[] = [];
  try {
    for (const threads of options.threads)
      all.push(await loadKernels({ variant: options.kernels, threads, revectorize: true }));
    await use(all.flatMap((kernels) => layerSubjects(kernels, shape, options.tokens)));
  } finally {
    for (const kernels of all) kernels.dispose();
  }
}

function layerSubjects(kernels: WasmKernels, shape: LayerShape, tokens: readonly number[]): Subject[] {
  const matrices = layerMatrices(shape);
  const { memory, threads } = kernels;
  const widest = Math.max(shape.embeddingLength, shape.feedForwardLength);
  const most = Math.max(...tokens);
  const weights = matrices.map(([rows, columns]) => memory.allocate((rows * columns) / 4));
  const values = memory.allocate(most * widest);
  const scales = memory.allocate(4 * most);
  const sums = memory.allocate(4 * most);
  const out = memory.allocate(4 * most * widest);
  memory.f32(scales, most).fill(1);
  kernels.reserveScratch(i2sScratchBytes(widest));

  return tokens.map((count) => {
    const call = new RepeatedCall(kernels, () => {
      for (const [index, [rows, columns]] of matrices.entries()) {
        const codes = weights[index]!;
        kernels.i2sGemm(codes, 0, rows, columns, 1, values, scales, sums, count, out, rows, kernels.scratch);
      }
    });
    return {
      name: 'ternary GEMM',
      detail: `${count} tokens, one layer`,
      threads,
      limit: 'int8',
      tokensPerCall: count,
      operationsPerCall: matrices.reduce((sum, [rows, columns]) => sum + 2 * rows * columns * count, 0),
      sample: () => call.sample(),
    };
  });
}
