import { expectedDecode, expectedPrefill, screenedTopK, screenedVectorBytes } from '../expected.ts';
import { fail, type Gate, pass } from '../gate.ts';
import type { Count, ExpectedCounts } from '../operation-counts.ts';
import type { ReceiptCounter, ReceiptPredicate } from '../statement.ts';
import { headTypeOf, packedBytesOf, traitsOf } from '../weight-types.ts';

/** Every kernel did what the model's shape and the ids say: none is missing, none is surplus. */
export const counts: Gate = {
  name: 'counts',
  check({ predicate }) {
    const { prompt, generated, counters, request } = predicate;
    const evaluated = { prefill: 1, decode: generated.ids.length - 1 };
    const expected = {
      prefill: expectedPrefill(predicate, prompt.ids.length, request.repeats),
      decode: expectedDecode(predicate, prompt.ids.length, evaluated.decode, request.repeats),
    };
    for (const phase of ['prefill', 'decode'] as const) {
      const heads = request.repeats * evaluated[phase];
      const fault = shapeFault(predicate) ?? countFault(counters[phase], expected[phase], predicate, heads);
      if (fault !== undefined) return fail(`${fault} (${phase})`);
    }
    return pass(
      `${expected.prefill.size} kernels in prefill and ${expected.decode.size} in decode, as the model's shape says`,
    );
  },
};

/** What keeps a model of this shape from being one. */
function shapeFault({ model, head }: ReceiptPredicate): string | undefined {
  const { architecture, config, weights } = model;
  const { embeddingLength, blockCount, headCount, headDim, headCountKv } = config;
  if (architecture !== 'llama' && headCount * headDim !== embeddingLength) {
    return `${headCount} heads of ${headDim} are not an embedding of ${embeddingLength}`;
  }
  if (headCount % headCountKv !== 0) return `${headCount} heads cannot share ${headCountKv}`;
  const layers = weights.layers.reduce((sum, { count }) => sum + count, 0);
  if (layers !== blockCount) return `weights are of ${layers} layers, and there are ${blockCount}`;
  if (architecture !== 'llama' && weights.head !== null) return `a model of ${architecture} has no head of its own`;
  for (const [part, type] of [
    ['embedding', weights.embedding],
    ['head', headTypeOf(model)],
  ] as const) {
    if (traitsOf(type).lookup === undefined) return `an ${part} cannot be ${type}`;
  }
  if (head.kind === 'screened' && headTypeOf(model) !== 'F16') return `a head of ${headTypeOf(model)} is not screened`;
  return biasFault(model) ?? sizeFault(model);
}

/** Of a file besides the weights: its vocabulary and other metadata, norms, biases, a head that does not run. */
const MOST_OTHER_BYTES = 2 ** 30;

function sizeFault(model: ReceiptPredicate['model']): string | undefined {
  const least = packedBytesOf(model);
  const most = 2 * least + MOST_OTHER_BYTES;
  const bytes = model.files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes >= least && bytes <= most) return undefined;
  return `the model's files have ${bytes} bytes; these weights make ${least} to ${most}`;
}

/** Architectures with sub-norms have no biases in the feed-forward network. */
function biasFault({ architecture, weights }: ReceiptPredicate['model']): string | undefined {
  if (architecture === 'llama') return undefined;
  const biased = weights.layers.some(({ ffnGate, ffnUp, ffnDown }) => ffnGate.bias || ffnUp.bias || ffnDown.bias);
  return biased ? `the feed-forward network of ${architecture} has no biases` : undefined;
}

function countFault(
  counters: readonly ReceiptCounter[],
  expected: ExpectedCounts,
  predicate: ReceiptPredicate,
  heads: number,
): string | undefined {
  const { variant } = predicate.kernels;
  const counted = new Map(counters.map((counter) => [counter.id, counter]));
  for (const [id, count] of expected) {
    const counter = counted.get(id);
    if (counter === undefined) return `${id} is missing`;
    const fault = differenceOf(id, counter, count);
    if (fault !== undefined) return fault;
    counted.delete(id);
  }
  if (predicate.head.kind === 'screened') {
    const [rescored, fallback] = [`f16_head_rescored_${variant}`, `f16_head_fallback_${variant}`];
    const refined = `f16_head_refined_${variant}`;
    const fault =
      rescoreFault(predicate, counted.get(rescored), counted.get(fallback), heads) ??
      refineFault(predicate, counted.get(refined), counted.get(rescored)!.rows, heads);
    if (fault !== undefined) return fault;
    counted.delete(rescored);
    counted.delete(refined);
    counted.delete(fallback);
  }
  const [surplus] = counted.keys();
  return surplus === undefined ? undefined : `${surplus} has no place in this run`;
}

/** How many rows are computed exactly depends on the activations; between which numbers, on the shape. */
function rescoreFault(
  { model, head, kernels }: ReceiptPredicate,
  rescored: ReceiptCounter | undefined,
  fallback: ReceiptCounter | undefined,
  heads: number,
): string | undefined {
  const { vocabSize, embeddingLength: width } = model.config;
  const of = (calls: number, rows: number): Count => ({
    calls,
    rows,
    elements: rows * width,
    bytes: rows * (2 * width + 4) + calls * 4 * width,
  });
  if (rescored === undefined) return `f16_head_rescored_${kernels.variant} is missing`;
  const full = fallback?.calls ?? 0;
  if (full > heads) return `f16_head_fallback_${kernels.variant} has ${full} calls of at most ${heads}`;
  // The topK rows with the largest lower bounds, and then, unless all are computed, those that these do not exclude
  const topK = screenedTopK({ model, head });
  const least = (2 * heads - full) * topK;
  const most = heads * topK + (heads - full) * Math.max(topK, Math.ceil(vocabSize / 4));
  if (!(rescored.rows >= least && rescored.rows <= most)) {
    return `f16_head_rescored_${kernels.variant} has ${rescored.rows} rows, not ${least} to ${most}`;
  }
  return (
    differenceOf(rescored.id, rescored, of(2 * heads, rescored.rows)) ??
    (fallback && differenceOf(fallback.id, fallback, of(full, full * vocabSize)))
  );
}

/** The topK rows are refined in any case, and whatever is computed after them. */
function refineFault(
  { model, head, kernels }: ReceiptPredicate,
  refined: ReceiptCounter | undefined,
  rescoredRows: number,
  heads: number,
): string | undefined {
  const { vocabSize, embeddingLength: width } = model.config;
  const topK = screenedTopK({ model, head });
  if (refined === undefined) return `f16_head_refined_${kernels.variant} is missing`;
  const { id, rows } = refined;
  const [least, most] = [Math.max(heads * topK, rescoredRows - heads * topK), heads * vocabSize];
  if (!(rows >= least && rows <= most)) return `${id} has ${rows} rows, not ${least} to ${most}`;
  const ofRow = 32 * Math.ceil(width / 128) + 24;
  const ofCall = screenedVectorBytes(width) + 4 * topK + 4 * vocabSize;
  return differenceOf(id, refined, {
    calls: heads,
    rows,
    elements: rows * width,
    bytes: rows * ofRow + heads * ofCall,
  });
}

function differenceOf(id: string, counter: ReceiptCounter, expected: Count): string | undefined {
  for (const field of ['calls', 'rows', 'elements', 'bytes'] as const) {
    if (counter[field] !== expected[field]) return `${id} has ${counter[field]} ${field}, not ${expected[field]}`;
  }
  return undefined;
}
