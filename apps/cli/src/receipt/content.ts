import type { I2sLayout, KvType, Model } from '@bittern/engine';
import { sumOfCounters } from '@bittern/kernels';
import type { ModelEvidence, ReceiptContent, ReceiptTokenizer } from '@bittern/receipts';
import type { LoadedTokenizer } from '../tokenizer-file.ts';
import { type Evidence, SCREENED_TOP_K, type TimedRun } from './decode.ts';
import { receiptHost } from './machine.ts';
import { binaryOf, receiptTool } from './tool.ts';

/** What a benchmark measured, besides what the model itself tells. */
export interface Measured extends Pick<ReceiptContent, 'request' | 'prompt' | 'loadMs' | 'limits' | 'parity'> {
  readonly identity: ModelEvidence['model'];
  readonly layout: I2sLayout;
  readonly kvType: KvType;
  readonly evidence: Evidence;
  readonly runs: readonly TimedRun[];
}

/** All of it as a receipt has it. */
export async function receiptContent(
  model: Model,
  loaded: LoadedTokenizer,
  { identity, layout, kvType, evidence, runs, ...measured }: Measured,
): Promise<ReceiptContent> {
  const { kernelVariant: variant, kernelChoice, threads, tl1Kernel = null } = model;
  return {
    ...measured,
    created: new Date().toISOString(),
    tool: receiptTool(),
    host: receiptHost(),
    model: {
      ...identity,
      layout: hasI2s(identity) ? layout : null,
      tl1Kernel,
    },
    tokenizer: receiptTokenizer(loaded),
    numerics: model.numerics,
    device: 'cpu', // as the engine has no other
    kernels: {
      variant,
      threads,
      gemv: kernelChoice.gemv,
      gemm: kernelChoice.gemm,
      ...(await binaryOf(variant, threads)),
    },
    head: { kind: model.head, topK: model.head === 'screened' ? SCREENED_TOP_K : null },
    kvType,
    sampling: { method: 'greedy' },
    generated: evidence,
    runs: runs.map(({ times }) => times),
    counters: {
      prefill: sumOfCounters(runs.flatMap(({ counters }) => counters.prefill)),
      decode: sumOfCounters(runs.flatMap(({ counters }) => counters.decode)),
    },
  };
}

export function receiptTokenizer({ source, digest, tokenizer }: LoadedTokenizer): ReceiptTokenizer {
  return { name: source, sha256: digest, model: tokenizer.model, pre: tokenizer.pre };
}

function hasI2s({ weights }: ModelEvidence['model']): boolean {
  return weights.layers.some(({ count: _count, ...linears }) =>
    Object.values(linears).some(({ type }) => type === 'I2_S'),
  );
}
