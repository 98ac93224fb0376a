import { GgufError, quoteName } from './errors.ts';
import type { GgufMetadata } from './metadata.ts';
import type { GgmlTypeName } from './tensor-types.ts';
import { tensorSizeBytes, tensorTypeOf } from './tensor-types.ts';

/**
 * Who numbered the types of a file. `ggml` is upstream; `bitnet.cpp` is microsoft/BitNet up to March 2026 and
 * `bitnet.cpp-2026` is what came after, on a newer ggml. 39 is MXFP4, or TL2 in `bitnet.cpp`; 42 is Q2_0, or TL2 in
 * `bitnet.cpp-2026`. ggml had IQ4_NL_4_4, IQ4_NL_4_8 and IQ4_NL_8_8 under 36 to 38 in 2024, and has removed them.
 */
export type GgufDialectName = 'ggml' | 'bitnet.cpp' | 'bitnet.cpp-2026';

export interface GgufDialect {
  readonly name: GgufDialectName;
  /** For people: why this one. */
  readonly reason: string;
}

/** The numbers that mean the same everywhere. 4 and 5 were removed before GGUF; Q4_0_4_4 and its like in 2024. */
const COMMON: readonly (readonly [number, GgmlTypeName])[] = [
  [0, 'F32'],
  [1, 'F16'],
  [2, 'Q4_0'],
  [3, 'Q4_1'],
  [6, 'Q5_0'],
  [7, 'Q5_1'],
  [8, 'Q8_0'],
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [12, 'Q4_K'],
  [13, 'Q5_K'],
  [14, 'Q6_K'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [30, 'BF16'],
  [31, 'Q4_0_4_4'],
  [32, 'Q4_0_4_8'],
  [33, 'Q4_0_8_8'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
];

/** In the order of preference where a file reads the same in several. */
const DIALECTS: Readonly<Record<GgufDialectName, ReadonlyMap<number, GgmlTypeName>>> = {
  ggml: new Map([...COMMON, [39, 'MXFP4'], [40, 'NVFP4'], [41, 'Q1_0'], [42, 'Q2_0']]),
  'bitnet.cpp': new Map([...COMMON, [36, 'I2_S'], [37, 'I8_S'], [38, 'TL1'], [39, 'TL2']]),
  'bitnet.cpp-2026': new Map([
    ...COMMON,
    [36, 'I2_S'],
    [37, 'I8_S'],
    [38, 'TL1'],
    [39, 'MXFP4'],
    [40, 'NVFP4'],
    [41, 'Q1_0'],
    [42, 'TL2'],
  ]),
};

const NAMES = Object.keys(DIALECTS) as GgufDialectName[];

/** `general.file_type` of a TL2 file; ggml has NVFP4 under the same number. */
const FILE_TYPE_TL2 = 39;

export function typeNameOf(dialect: GgufDialectName, typeId: number): GgmlTypeName | undefined {
  return DIALECTS[dialect].get(typeId);
}

/** @throws RangeError for a type that has no number in the dialect */
export function typeIdOf(dialect: GgufDialectName, name: GgmlTypeName): number {
  for (const [id, known] of DIALECTS[dialect]) {
    if (known === name) {
      return id;
    }
  }
  throw new RangeError(`${name} has no type number in the dialect ${dialect}.`);
}

/** For messages: `F32 (0), F16 (1), …`. */
export function describeTensorTypes(dialect: GgufDialectName): string {
  return Array.from(DIALECTS[dialect], ([id, name]) => `${name} (${id})`).join(', ');
}

/** @throws TypeError for a name that is no dialect */
export function requireDialectName(name: string): asserts name is GgufDialectName {
  if (!Object.hasOwn(DIALECTS, name)) {
    throw new TypeError(`Unknown dialect ${quoteName(name)}. Known: ${NAMES.join(', ')}.`);
  }
}

/** What of a tensor speaks for a dialect. */
export interface DialectEvidence {
  readonly name: string;
  readonly typeId: number;
  readonly ggmlDims: readonly number[];
  /** Bytes from its start to that of the next one, or to the end of the file. */
  readonly roomBytes: number;
}

/**
 * Decides what the type numbers of a file mean. Dialects that lack one of its types are out. Those left differ at most
 * in whether 39 or 42 is TL2; then byte sizes and metadata must point to one answer and not to both.
 *
 * @throws GgufError GGUF_UNDECIDED_DIALECT
 */
export function decideDialect(
  tensors: readonly DialectEvidence[],
  metadata: GgufMetadata,
  alignment: number,
): GgufDialect {
  const ids = [...new Set(tensors.map((tensor) => tensor.typeId))];
  const possible = NAMES.filter((name) => ids.every((id) => DIALECTS[name].has(id)));
  const [first, ...others] = possible;
  if (first === undefined) {
    // An id that nobody knows, or ids of different dialects: whoever names the types then says which.
    const known = (name: GgufDialectName): number => ids.filter((id) => DIALECTS[name].has(id)).length;
    const name = NAMES.reduce((best, other) => (known(other) > known(best) ? other : best));
    return { name, reason: 'no dialect has all its tensor types' };
  }
  const ambiguous = tensors.filter(({ typeId }) =>
    others.some((name) => DIALECTS[name].get(typeId) !== DIALECTS[first].get(typeId)),
  );
  refuseRemovedTypes(tensors, first, alignment);
  if (ambiguous.length === 0) {
    return { name: first, reason: reasonOf(first, possible) };
  }
  return decideTl2(possible, ambiguous, metadata, alignment);
}

/** The removed types under 36 to 38 are larger than bitnet.cpp's, so they would be read as those, with gaps. */
function refuseRemovedTypes(tensors: readonly DialectEvidence[], dialect: GgufDialectName, alignment: number): void {
  const removed = tensors.find(
    (tensor) =>
      tensor.typeId >= 36 &&
      tensor.typeId <= 38 &&
      !fills(tensor, typeNameOf(dialect, tensor.typeId)!, alignment) &&
      fills(tensor, 'IQ4_NL', alignment),
  );
  if (removed !== undefined) {
    const { name, typeId } = removed;
    const what = `Tensor ${quoteName(name)} of type ${typeId} has the size of IQ4_NL, repacked as ggml did it in 2024`;
    const advice = `That has been removed from ggml; convert the model again. If it is ${typeNameOf(dialect, typeId)}`;
    throw new GgufError('GGUF_UNSUPPORTED_TENSOR_TYPE', `${what}. ${advice}, say so with dialect: '${dialect}'.`);
  }
}

function reasonOf(name: GgufDialectName, possible: readonly GgufDialectName[]): string {
  if (possible.length === NAMES.length) {
    return 'all its tensor types mean the same in every dialect';
  }
  return possible.length === 1
    ? `no other dialect has all its tensor types`
    : `only ${possible.join(' and ')} have its tensor types, which mean the same in both; ${name} is the older`;
}

function decideTl2(
  possible: readonly GgufDialectName[],
  ambiguous: readonly DialectEvidence[],
  metadata: GgufMetadata,
  alignment: number,
): GgufDialect {
  const { name: tensorName, typeId } = ambiguous[0]!;
  const withTl2 = possible.find((name) => DIALECTS[name].get(typeId) === 'TL2')!;
  const without = possible.find((name) => DIALECTS[name].get(typeId) !== 'TL2')!;
  const verdicts = [sizesVerdict(withTl2, without, ambiguous, alignment), metadataVerdict(withTl2, without, metadata)];
  const decided = verdicts.filter((verdict) => verdict !== undefined);
  const name = decided[0]?.name;
  if (name !== undefined && decided.every((verdict) => verdict.name === name)) {
    return { name, reason: decided.map((verdict) => verdict.reason).join('; ') };
  }
  const why =
    decided.length === 0 ? 'neither byte sizes nor metadata tell' : decided.map((v) => v.reason).join(', but ');
  throw new GgufError(
    'GGUF_UNDECIDED_DIALECT',
    `Type ${typeId} of tensor ${quoteName(tensorName)} is TL2 in the dialect ${withTl2} and ` +
      `${DIALECTS[without].get(typeId)} in ${without}: ${why}. ` +
      `If you know which, open the file with dialect: '${withTl2}' or '${without}'.`,
  );
}

/** Speaks if every tensor in question fills its room, up to padding, as one type does and not as the other. */
function sizesVerdict(
  withTl2: GgufDialectName,
  without: GgufDialectName,
  ambiguous: readonly DialectEvidence[],
  alignment: number,
): GgufDialect | undefined {
  const fitting = [withTl2, without].filter((name) =>
    ambiguous.every((tensor) => fills(tensor, typeNameOf(name, tensor.typeId)!, alignment)),
  );
  const [name] = fitting;
  if (name === undefined || fitting.length > 1) {
    return undefined;
  }
  return { name, reason: `the byte sizes are those of ${DIALECTS[name].get(ambiguous[0]!.typeId)}` };
}

function fills(tensor: DialectEvidence, type: GgmlTypeName, alignment: number): boolean {
  const sizeBytes = tensorSizeBytes(type, tensor.ggmlDims);
  const wholeBlocks = tensor.ggmlDims[0]! % tensorTypeOf(type).blockElements === 0;
  const paddedBytes = Math.ceil(sizeBytes / alignment) * alignment;
  return wholeBlocks && (tensor.roomBytes === sizeBytes || tensor.roomBytes === paddedBytes);
}

/** TL2 was made for BitNet's own architectures and for 1.58-bit LLaMA and Falcon models. */
function metadataVerdict(
  withTl2: GgufDialectName,
  without: GgufDialectName,
  metadata: GgufMetadata,
): GgufDialect | undefined {
  const architecture = metadata.typeOf('general.architecture') === 'string' && metadata.get('general.architecture');
  if (typeof architecture !== 'string') {
    return undefined;
  }
  if (!/^(bitnet|llama|falcon)/.test(architecture)) {
    return { name: without, reason: `the architecture ${quoteName(architecture)} has no TL2 kernels` };
  }
  if (architecture.startsWith('bitnet') && metadata.get('general.file_type') === FILE_TYPE_TL2) {
    const reason = `general.file_type is ${FILE_TYPE_TL2} (TL2) and the architecture is ${quoteName(architecture)}`;
    return { name: withTl2, reason };
  }
  return undefined;
}
