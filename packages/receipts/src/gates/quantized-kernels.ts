import { fail, type Gate, notApplicable, onlyOfBenchmarks, pass } from '../gate.ts';
import { knownKernel } from '../registry.ts';
import type { ReceiptModel } from '../statement.ts';
import { headTypeOf, layerTypesOf, linearsOf, type ShapedLinear, traitsOf } from '../weight-types.ts';

/** A claim of quantized weights is that kernels computed with them as they are, all their products. */
export const quantizedKernels: Gate = {
  name: 'quantized-kernels',
  check({ predicate: { counters, model, request, prompt }, wanted }) {
    const types = layerTypesOf(model);
    const others = types.filter((type) => !traitsOf(type).quantized);
    if (wanted.requireQuantizedKernels && others.length > 0) {
      return fail(`the layers have ${others.join(', ')} weights, which are not quantized`);
    }
    if (others.length === types.length) {
      return notApplicable(`the layers have ${others.join(', ')} weights, which are not quantized`);
    }
    const evaluated = { prefill: prompt.ids.length, decode: request.tokens - 1 };
    for (const phase of ['prefill', 'decode'] as const) {
      const rows = evaluated[phase];
      // Of the prompt only the last row goes through the last feed-forward network, and the head.
      const products = request.repeats * quantizedProducts(model, rows, phase === 'prefill' ? 1 : rows);
      const counted = counters[phase]
        .filter(({ id }) => knownKernel(id)?.quantized)
        .reduce((sum, { elements }) => sum + elements, 0);
      if (counted !== products) {
        return fail(`quantized kernels computed ${counted} products, not the ${products} of the weights (${phase})`);
      }
    }
    const quantized = types.filter((type) => traitsOf(type).quantized).join(', ');
    const rest = others.length === 0 ? '' : `; other layers have ${others.join(', ')}`;
    return pass(`quantized kernels computed all products with ${quantized} weights${rest}`);
  },
  checkParity: ({ wanted }) => onlyOfBenchmarks(wanted.requireQuantizedKernels),
};

/** @param lastRows - of the last layer's second half, and of the head */
function quantizedProducts(model: ReceiptModel, rows: number, lastRows: number): number {
  const productsOf = (linears: readonly ShapedLinear[]): number =>
    linears.filter(({ type }) => traitsOf(type).quantized).reduce((sum, { rows: m, columns: k }) => sum + m * k, 0);
  const { vocabSize, embeddingLength: width } = model.config;
  let products = traitsOf(headTypeOf(model)).quantized ? lastRows * vocabSize * width : 0;
  for (const [index, layers] of model.weights.layers.entries()) {
    const { attentionInput, attentionOutput, feedForwardInput, feedForwardOutput } = linearsOf(model, layers);
    const feedForward = productsOf([...feedForwardInput, ...feedForwardOutput]);
    products += layers.count * rows * (productsOf([...attentionInput, ...attentionOutput]) + feedForward);
    if (index === model.weights.layers.length - 1) products -= (rows - lastRows) * feedForward;
  }
  return products;
}
