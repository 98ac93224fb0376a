import { basename } from 'node:path';
import { checkModel, type ModelConfig } from '@bittern/engine';
import type { GgufFile } from '@bittern/gguf-parser';
import type { ModelEvidence, ReceiptModelConfig } from '@bittern/receipts';
import { UnusableFileError } from '../errors.ts';
import type { Io } from '../io.ts';
import { type OpenedFile, sha256OfFile } from '../model-file.ts';

/** A model as receipts name it, read from its file: digests of all its parts, its shape, the type of its weights. */
export async function modelIdentity({ path, gguf }: OpenedFile, io: Io): Promise<ModelEvidence['model']> {
  const { config, problems } = checkModel(gguf);
  if (config === undefined) throw new UnusableFileError(path, new Error(problems[0]?.message ?? 'it is no model.'));
  const files = [];
  for (const { name, sizeBytes } of gguf.source.parts ?? [gguf.source]) {
    files.push({ name: basename(name), bytes: sizeBytes, sha256: await sha256OfFile(name, io.signal) });
  }
  return {
    files,
    architecture: config.architecture,
    quantization: quantizationOf(path, gguf),
    config: receiptConfig(config),
  };
}

function receiptConfig(config: ModelConfig): ReceiptModelConfig {
  const { vocabSize, contextLength, embeddingLength, blockCount, feedForwardLength, headCount, headCountKv, headDim } =
    config;
  return { vocabSize, contextLength, embeddingLength, blockCount, feedForwardLength, headCount, headCountKv, headDim };
}

/** The one type of all matrices of the layers. */
function quantizationOf(path: string, { tensors }: GgufFile): 'I2_S' | 'TL1' {
  const matrices = [...tensors.values()].filter(({ name, shape }) => /^blk\.\d+\./.test(name) && shape.length === 2);
  const [type, ...others] = new Set(matrices.map((tensor) => tensor.type));
  if (others.length === 0 && (type === 'I2_S' || type === 'TL1')) return type;
  const found = [type ?? 'none', ...others].join(', ');
  throw new UnusableFileError(
    path,
    new Error(`receipts are of models whose layers are all I2_S or all TL1, and these are ${found}.`),
  );
}
