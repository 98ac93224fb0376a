import { fail, type Gate, notApplicable, pass } from '../gate.ts';
import { knownKernel } from '../registry.ts';

/** A claim of quantized weights is that kernels computed with them as they are, all products of all layers. */
export const quantizedKernels: Gate = {
  name: 'quantized-kernels',
  check({ predicate: { counters, model, request, prompt }, wanted }) {
    const { embeddingLength: width, feedForwardLength: inner, headCountKv, headDim, blockCount } = model.config;
    const claims = ['I2_S', 'TL1'].includes(model.quantization);
    if (!claims) {
      if (wanted.requireQuantizedKernels) return fail(`the weights are ${model.quantization}, which is not quantized`);
      return notApplicable(`the weights are ${model.quantization}, which is not quantized`);
    }
    const attention = 2 * width * width + 2 * headCountKv * headDim * width;
    const feedForward = 3 * width * inner;
    const evaluated = { prefill: prompt.ids.length, decode: request.tokens - 1 };
    for (const phase of ['prefill', 'decode'] as const) {
      const rows = evaluated[phase];
      // Of the prompt only the last row goes through the last layer's feed-forward network.
      const lastRows = phase === 'prefill' ? 1 : rows;
      const products = blockCount * rows * attention + ((blockCount - 1) * rows + lastRows) * feedForward;
      const counted = counters[phase]
        .filter(({ id }) => knownKernel(id)?.quantized)
        .reduce((sum, { elements }) => sum + elements, 0);
      if (counted !== request.repeats * products) {
        return fail(
          `quantized kernels computed ${counted} products, not the ${request.repeats * products} of the layers (${phase})`,
        );
      }
    }
    return pass(`quantized kernels computed all products with ${model.quantization} weights`);
  },
};
