import { basename } from 'node:path';
import { checkModel, type ModelConfig } from '@bittern/engine';
import type { GgufFile } from '@bittern/gguf-parser';
import type {
  ModelEvidence,
  ReceiptFile,
  ReceiptLayers,
  ReceiptLinear,
  ReceiptModelConfig,
  ReceiptWeights,
  ReceiptWeightType,
} from '@bittern/receipts';
import { UnusableFileError } from '../errors.ts';
import type { Io } from '../io.ts';
import { type OpenedFile, sha256OfFile } from '../model-file.ts';

/** A model as receipts name it, read from its file: digests of all its parts, its shape, the types of its weights. */
export async function modelIdentity(file: OpenedFile, io: Io): Promise<ModelEvidence['model']> {
  const { path, gguf } = file;
  const { config, problems } = checkModel(gguf);
  // A tiling is for running it.
  const problem = problems.find(({ code }) => code !== 'ENGINE_TL1_TILING');
  if (config === undefined || problem) throw new UnusableFileError(path, new Error(problem?.message));
  return {
    files: await receiptFiles(file, io),
    architecture: config.architecture,
    weights: receiptWeights(gguf, config),
    dialect: gguf.dialect.name,
    config: receiptConfig(config),
  };
}

/** A file, or all parts of a split one. */
export async function receiptFiles({ gguf }: OpenedFile, io: Io): Promise<ReceiptFile[]> {
  const files: ReceiptFile[] = [];
  for (const { name, sizeBytes } of gguf.source.parts ?? [gguf.source]) {
    files.push({ name: basename(name), bytes: sizeBytes, sha256: await sha256OfFile(name, io.signal) });
  }
  return files;
}

function receiptConfig(config: ModelConfig): ReceiptModelConfig {
  const { vocabSize, contextLength, embeddingLength, blockCount, feedForwardLength, headCount, headCountKv, headDim } =
    config;
  return { vocabSize, contextLength, embeddingLength, blockCount, feedForwardLength, headCount, headCountKv, headDim };
}

/** Of a file in which `checkModel` found no problem: all layers are there, in types of matrices. */
function receiptWeights({ tensors }: GgufFile, { graph, blockCount }: ModelConfig): ReceiptWeights {
  const typeOf = (name: string): ReceiptWeightType => tensors.get(name)?.type as ReceiptWeightType;
  const linear = (name: string): ReceiptLinear => ({
    type: typeOf(`${name}.weight`),
    scale: tensors.has(`${name}.scale`),
    bias: tensors.has(`${name}.bias`),
  });
  const layers: ReceiptLayers[] = [];
  for (let index = 0; index < blockCount; index++) {
    const at = (part: string): ReceiptLinear => linear(`blk.${index}.${part}`);
    const layer: Omit<ReceiptLayers, 'count'> = {
      attnQ: at('attn_q'),
      attnK: at('attn_k'),
      attnV: at('attn_v'),
      attnOutput: at('attn_output'),
      ffnGate: at('ffn_gate'),
      ffnUp: at('ffn_up'),
      ffnDown: at('ffn_down'),
    };
    const { count = 0, ...before } = layers.at(-1) ?? {};
    if (JSON.stringify(before) === JSON.stringify(layer)) layers.splice(-1, 1, { count: count + 1, ...layer });
    else layers.push({ count: 1, ...layer });
  }
  // The other graph has no head of its own, even if the file has one.
  const hasHead = graph === 'llama' && tensors.has('output.weight');
  return { embedding: typeOf('token_embd.weight'), head: hasHead ? typeOf('output.weight') : null, layers };
}
