import { type HeadKind, loadModel, type Model } from '@bittern/engine';
import { screenRowBytes } from '@bittern/kernels';
import type { GgufTensor } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { UsageError } from './errors.ts';
import type { Io } from './io.ts';
import type { ModelOptions } from './options.ts';
import { Random } from './random.ts';

/** Loads a model once for each number of threads, and disposes all after `use`. */
export async function withModels(
  path: string,
  options: Pick<ModelOptions, 'threads' | 'numerics' | 'kernels'> & { readonly heads?: readonly HeadKind[] },
  io: Io,
  use: (models: readonly Model[]) => Promise<void>,
): Promise<void> {
  const { numerics, kernels, threads: counts, heads = [] } = options;
  const head = heads.includes('screened') ? 'screened' : 'exact';
  const models: Model[] = [];
  try {
    for (const threads of counts) {
      const source = await openFile(path);
      try {
        models.push(
          await loadModel(source, { numerics, kernels, threads, head, revectorize: true, signal: io.signal }),
        );
      } finally {
        await source.close();
      }
    }
    await use(models);
  } finally {
    for (const model of models) model.dispose();
  }
}

/** @throws {UsageError} for more tokens than the model's context holds */
export function requireContext({ config }: Model, tokens: number): void {
  if (tokens <= config.contextLength) return;
  throw new UsageError(`${tokens} tokens do not fit: the model's context holds ${config.contextLength}.`);
}

/** Any ids will do: time does not depend on them. The same in each run. */
export function promptIds(count: number, { config }: Model): number[] {
  const random = new Random('prompt');
  return Array.from({ length: count }, () => random.next() % config.vocabSize);
}

/**
 * Bytes that one decode step has to read: each weight, and the keys and values of `position` tokens before it. Of the
 * screened head it is six bits of each weight, without the few rows of which more is read.
 */
export function streamedBytes(model: Model, position: number, head: HeadKind): number {
  const { blockCount, headCountKv, headDim, vocabSize, embeddingLength } = model.config;
  const screened = head === 'screened' ? vocabSize * (screenRowBytes(embeddingLength) + 8 - 2 * embeddingLength) : 0;
  const weights = usedTensors(model).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const keysAndValues = 2 * 2 * blockCount * headCountKv * headDim;
  return weights + screened + keysAndValues * (position + 1);
}

/**
 * Operations (products and sums) of the ternary matrices for a prompt of `tokens`, as the engine does them: where only
 * the last position's logits are wanted, the last layer's feed-forward network runs for that one.
 */
export function ternaryOperations(model: Model, tokens: number): number {
  const lastFfn = `blk.${model.config.blockCount - 1}.ffn_`;
  return usedTensors(model)
    .filter(({ type }) => type === 'I2_S')
    .reduce((sum, { name, elementCount }) => sum + 2 * elementCount * (name.startsWith(lastFfn) ? 1 : tokens), 0);
}

/** The engine ignores a head of its own: the embedding is the head. */
function usedTensors({ gguf }: Model): GgufTensor[] {
  return [...gguf.tensors.values()].filter(({ name }) => name !== 'output.weight');
}
