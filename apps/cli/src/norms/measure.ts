import { type GgmlTypeName, type GgufFile, type GgufTensor, tensorStatistics } from '@bittern/gguf-parser';
import { codeOf } from '../errors.ts';

/** What is measured of a tensor: its one weight scale, or statistics of its elements (`tensorStatistics`). */
export const FIGURES = ['scale', 'rms', 'mean', 'min', 'max', 'zeros', 'nan', 'inf'] as const;

export type Figure = (typeof FIGURES)[number];

export interface Measured {
  readonly name: string;
  readonly type: GgmlTypeName;
  /** A norm has all but `scale`; a projection has `scale`, or all others, or none. */
  readonly figures: Readonly<Partial<Record<Figure, number>>>;
  /** Why there are no figures. */
  readonly unmeasured?: string;
}

/** The norms' names in GGUF (attn_norm, ffn_sub_norm, output_norm, ln1, …), and those of Hugging Face (input_layernorm). */
const NORM = /norm|(^|[._])ln_?\d*[._]/i;

/** The linear layers of attention and feed-forward network. Embeddings, heads and biases are none. */
const PROJECTION = /(^|\.)(attn_(q|k|v|qkv|output)|ffn_(gate|up|down)(_exps|_shexp)?)\.weight$/;

/** Of these a projection's elements are read: those that BitNet models come in besides I2_S, TL1 and TL2. */
const READ_TYPES: ReadonlySet<GgmlTypeName> = new Set<GgmlTypeName>(['F32', 'F16', 'BF16', 'TQ1_0', 'TQ2_0']);

export interface Measurements {
  readonly norms: readonly Measured[];
  readonly projections: readonly Measured[];
}

/**
 * Measures every norm and projection, in the file's order.
 *
 * @param options.onProgress - called before each tensor
 */
export async function measure(
  gguf: GgufFile,
  options: { readonly signal: AbortSignal; onProgress(done: number, total: number): void },
): Promise<Measurements> {
  const tensors = [...gguf.tensors.values()];
  const norms = tensors.filter(({ name }) => NORM.test(name));
  const projections = tensors.filter(({ name }) => PROJECTION.test(name) && !NORM.test(name));
  let done = 0;
  const measureAll = async (
    wanted: readonly GgufTensor[],
    one: (gguf: GgufFile, tensor: GgufTensor, signal: AbortSignal) => Promise<Measured>,
  ): Promise<Measured[]> => {
    const measured: Measured[] = [];
    for (const tensor of wanted) {
      options.onProgress(done, norms.length + projections.length);
      measured.push(await one(gguf, tensor, options.signal));
      done += 1;
    }
    return measured;
  };
  return { norms: await measureAll(norms, measureElements), projections: await measureAll(projections, measureScale) };
}

async function measureElements(gguf: GgufFile, { name, type }: GgufTensor, signal: AbortSignal): Promise<Measured> {
  // Their elements cannot be read without more than the file says.
  if (type === 'TL1' || type === 'TL2')
    return { name, type, figures: {}, unmeasured: `elements of ${type} are not read` };
  return withReason(name, type, async () => {
    const { count: _, ...figures } = await tensorStatistics(gguf, name, { signal });
    return { name, type, figures };
  });
}

async function measureScale(gguf: GgufFile, tensor: GgufTensor, signal: AbortSignal): Promise<Measured> {
  const { name, type } = tensor;
  if (READ_TYPES.has(type)) return measureElements(gguf, tensor, signal);
  return withReason(name, type, async () => {
    const scale = await gguf.readScale(name, { signal });
    if (scale === undefined) return { name, type, figures: {}, unmeasured: `${type} has no one scale` };
    return { name, type, figures: { scale } };
  });
}

/** A tensor whose type cannot be read is told of and does not end the rest. */
async function withReason(name: string, type: GgmlTypeName, run: () => Promise<Measured>): Promise<Measured> {
  try {
    return await run();
  } catch (error) {
    const code = codeOf(error);
    const isOfType = code === 'GGUF_CANNOT_DEQUANTIZE' || code === 'GGUF_BIG_ENDIAN' || code === 'GGUF_BAD_SHAPE';
    if (!isOfType) throw error;
    return { name, type, figures: {}, unmeasured: (error as Error).message };
  }
}
