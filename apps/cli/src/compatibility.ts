import { checkModel, type ModelConfig, type ModelProblem, type Tl1Tilings } from '@bittern/engine';
import {
  type GgmlTypeName,
  type GgufFile,
  type GgufTensor,
  i2sHistogram,
  tensorStatistics,
} from '@bittern/gguf-parser';
import { tokenizerFromGguf } from '@bittern/tokenizer';
import { codeOf, isUnusable } from './errors.ts';

/** A reason why a file cannot run here. */
export interface Incompatibility {
  readonly code: string;
  readonly message: string;
  /** What to do; null where the message says it. */
  readonly fix: string | null;
  readonly tensors: readonly string[];
}

export interface Compatibility {
  readonly problems: readonly Incompatibility[];
  readonly warnings: readonly string[];
  /** Tensors of which the data was read. */
  readonly tensorsRead: number;
}

export interface CompatibilityOptions {
  /** Whether somebody says how I2_S weights are packed, which the file does not. */
  readonly isLayoutGiven: boolean;
  /** How TL1 weights are packed, which the file does not say either. */
  readonly tl1Tiling: Tl1Tilings | undefined;
  readonly signal: AbortSignal;
  onProgress(doneBytes: number, totalBytes: number): void;
}

/** More than 32-bit WebAssembly can address. */
const MAX_MEMORY_BYTES = 2 ** 32;

/** Whether a file can run here: its header, its tokenizer, and what only the weights show. */
export async function checkCompatibility(gguf: GgufFile, options: CompatibilityOptions): Promise<Compatibility> {
  const { tl1Tiling } = options;
  const model = checkModel(gguf, tl1Tiling && { tl1Tiling });
  const tokenizer = checkTokenizer(gguf, model.config?.vocabSize);
  const memory = checkMemory(model);
  const weights = await checkWeights(gguf, model.config, options);
  const hasI2s = [...gguf.tensors.values()].some(({ type }) => type === 'I2_S');
  const layout =
    hasI2s && !options.isLayoutGiven
      ? [
          `The I2_S weights are taken to be packed as ${gguf.i2sLayout}, as in all released files. The file does not say, and a file that an ARM build wrote since November 2025 (64x16) would give wrong text without an error. If you know, say so with --layout.`,
        ]
      : [];
  return {
    problems: [...model.problems.map(withOption), ...tokenizer.problems, ...memory.problems, ...weights.problems],
    warnings: [...model.warnings, ...tokenizer.warnings, ...memory.warnings, ...layout, ...weights.warnings],
    tensorsRead: weights.tensorsRead,
  };
}

/** The option that is the way to do what is to be done. */
function withOption(problem: ModelProblem): Incompatibility {
  if (problem.code !== 'ENGINE_TL1_TILING') return problem;
  return { ...problem, fix: `${problem.fix} --tl1-tiling reads them from a JSON file.` };
}

/** An error of opening the file, as the reason that it is. */
export function incompatibilityOf(error: Error): Incompatibility {
  const code = codeOf(error) ?? 'UNKNOWN';
  const fix = code === 'GGUF_UNDECIDED_DIALECT' ? 'If you know which dialect it is, say so with --dialect.' : null;
  return { code, message: error.message, fix, tensors: [] };
}

type Findings = Omit<Compatibility, 'tensorsRead'>;

/** @param vocabSize - rows of the embedding, undefined if they are not known */
function checkTokenizer({ metadata }: GgufFile, vocabSize: number | undefined): Findings {
  const warnings: string[] = [];
  try {
    const tokenizer = tokenizerFromGguf(metadata, { onWarning: (message) => warnings.push(message) });
    if (vocabSize === undefined || tokenizer.vocabSize === vocabSize) return { problems: [], warnings };
    const message = `The tokenizer has ${tokenizer.vocabSize} tokens and the embedding ${vocabSize} rows.`;
    const fix = 'They are not of one model; convert it again.';
    return { problems: [{ code: 'CLI_VOCABULARY_DIFFERS', message, fix, tensors: ['token_embd.weight'] }], warnings };
  } catch (error) {
    if (!isUnusable(error)) throw error;
    return { problems: [incompatibilityOf(error)], warnings };
  }
}

function checkMemory({ config, memory }: ReturnType<typeof checkModel>): Findings {
  if (config === undefined || memory === undefined) return { problems: [], warnings: [] };
  const { weights, cache, activations } = memory;
  if (!(weights <= MAX_MEMORY_BYTES)) {
    const message = `The weights take ${weights} bytes; WebAssembly has at most ${MAX_MEMORY_BYTES}.`;
    return {
      problems: [{ code: 'KERNELS_OUT_OF_MEMORY', message, fix: 'Take a smaller model.', tensors: [] }],
      warnings: [],
    };
  }
  const total = weights + cache + activations;
  if (total <= MAX_MEMORY_BYTES) return { problems: [], warnings: [] };
  const warning = `With its whole context of ${config.contextLength} tokens the model takes ${total} bytes; WebAssembly has at most ${MAX_MEMORY_BYTES}. It runs with a shorter context only (createSession({ contextLength })).`;
  return { problems: [], warnings: [warning] };
}

async function checkWeights(
  gguf: GgufFile,
  config: ModelConfig | undefined,
  { signal, onProgress }: CompatibilityOptions,
): Promise<Compatibility> {
  // The bits of a big-endian file mean nothing here, and it has been refused for that.
  const tensors = gguf.byteOrder === 'big' ? [] : [...gguf.tensors.values()].filter((tensor) => isRead(tensor, config));
  const totalBytes = tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const problems: Incompatibility[] = [];
  const warnings: string[] = [];
  let doneBytes = 0;
  for (const tensor of tensors) {
    onProgress(doneBytes, totalBytes);
    const onRead = (readBytes: number): void => onProgress(doneBytes + readBytes, totalBytes);
    if (isTernary(tensor.type)) await checkTernary(gguf, tensor, signal, problems, warnings);
    else problems.push(...(await checkFinite(gguf, tensor, signal, onRead)));
    doneBytes += tensor.sizeBytes;
  }
  return { problems, warnings, tensorsRead: tensors.length };
}

/** What RoPE's angles are divided by. */
const ROPE_FREQS = 'rope_freqs.weight';

/** Types that the engine loads besides the ternary ones, and of which it refuses what is not finite. */
const FLOAT_TYPES: ReadonlySet<GgmlTypeName> = new Set([
  'F32',
  'F16',
  'BF16',
  'Q8_0',
  'Q4_0',
  'Q6_K',
  'TQ1_0',
  'TQ2_0',
]);

/** What the engine loads; a graph of bitnet's ignores a head. */
function isRead({ name, type }: GgufTensor, config: ModelConfig | undefined): boolean {
  if (name === 'output.weight' && config?.graph === 'bitnet') return false;
  return isTernary(type) || FLOAT_TYPES.has(type);
}

function isTernary(type: GgmlTypeName): boolean {
  return type === 'I2_S' || type === 'TL1';
}

async function checkTernary(
  gguf: GgufFile,
  tensor: GgufTensor,
  signal: AbortSignal,
  problems: Incompatibility[],
  warnings: string[],
): Promise<void> {
  const { name, type, elementCount } = tensor;
  const { invalid, only } =
    type === 'I2_S' ? await i2sCodes(gguf, tensor, signal) : await tl1Codes(gguf, tensor, signal);
  const scale = await gguf.readScale(name, { signal });
  const report = (message: string, fix: string): void => {
    problems.push({ code: 'ENGINE_INVALID_WEIGHTS', message, fix, tensors: [name] });
  };
  if (!(invalid === 0)) {
    report(
      type === 'I2_S'
        ? `Tensor "${name}" holds the code 3 ${invalid} times among ${elementCount} weights; I2_S has only 0, 1 and 2.`
        : `Tensor "${name}" holds a pair code above 8 ${invalid} times among ${elementCount / 2} pairs, which TL1 does not have.`,
      `The file is damaged or not ${type}; download or convert it again.`,
    );
  } else if (only !== undefined) {
    warnings.push(`All weights of tensor "${name}" are equal: ${only} times its scale.`);
  }
  if (!Number.isFinite(scale)) {
    report(`The scale of tensor "${name}" is ${scale}.`, 'The file is damaged; download or convert it again.');
  }
}

/** What the codes of a ternary tensor show in whatever order they are. */
interface Codes {
  /** Of how many there is no such code. */
  readonly invalid: number;
  /** The weight that all are: -1, 0 or 1. */
  readonly only: number | undefined;
}

async function i2sCodes(gguf: GgufFile, { name, elementCount }: GgufTensor, signal: AbortSignal): Promise<Codes> {
  const counts = await i2sHistogram(gguf, name, { signal });
  const only = [-1, 0, 1].find((weight) => counts[weight + 1] === elementCount);
  return { invalid: counts[3], only };
}

/** A pair of weights a, b has the code 3 * a + b + 4 in four bits. The scale stands behind them. */
async function tl1Codes(gguf: GgufFile, { name, elementCount }: GgufTensor, signal: AbortSignal): Promise<Codes> {
  const counts = new Float64Array(16);
  let left = elementCount / 4;
  for await (const chunk of gguf.streamTensor(name, { signal })) {
    for (const byte of chunk.subarray(0, left)) {
      counts[byte >> 4]! += 1;
      counts[byte & 15]! += 1;
    }
    left = Math.max(0, left - chunk.length);
  }
  const only = [-1, 0, 1].find((weight) => counts[4 * weight + 4] === elementCount / 2);
  return { invalid: counts.subarray(9).reduce((sum, count) => sum + count, 0), only };
}

async function checkFinite(
  gguf: GgufFile,
  tensor: GgufTensor,
  signal: AbortSignal,
  onRead: (readBytes: number) => void,
): Promise<Incompatibility[]> {
  const { name, type, shape, elementCount } = tensor;
  const bad =
    type === 'F16' ? await countNonFiniteF16(gguf, name, signal, onRead) : await countNonFinite(gguf, name, signal);
  if (bad === 0) return [];
  // As the engine says it: of norms and biases when an id is to be chosen, of the rest when it loads.
  const isNormOrBias = shape.length === 1 && name !== ROPE_FREQS && !name.endsWith('.scale');
  return [
    {
      code: isNormOrBias ? 'ENGINE_NOT_FINITE' : 'ENGINE_INVALID_WEIGHTS',
      message: `Tensor "${name}" holds ${name === ROPE_FREQS ? 'zero, ' : ''}NaN or infinity ${bad} times among ${elementCount} elements.`,
      fix: 'The file is damaged; download or convert it again.',
      tensors: [name],
    },
  ];
}

async function countNonFinite(gguf: GgufFile, name: string, signal: AbortSignal): Promise<number> {
  const { nan, inf, zeros } = await tensorStatistics(gguf, name, { signal });
  return nan + inf + (name === ROPE_FREQS ? zeros : 0);
}

/** All bits of the exponent set. By bytes, because to dequantize an embedding of 0.7 GB takes several times as long. */
async function countNonFiniteF16(
  gguf: GgufFile,
  name: string,
  signal: AbortSignal,
  onRead: (readBytes: number) => void,
): Promise<number> {
  let [count, readBytes] = [0, 0];
  for await (const chunk of gguf.streamTensor(name, { signal })) {
    for (let at = 1; at < chunk.length; at += 2) {
      if ((chunk[at]! & 0x7c) === 0x7c) count += 1;
    }
    readBytes += chunk.length;
    onRead(readBytes);
  }
  return count;
}
