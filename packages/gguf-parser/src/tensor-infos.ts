import type { HeaderCursor } from './cursor.ts';
import type { DialectEvidence, GgufDialect, GgufDialectName } from './dialects.ts';
import { decideDialect, describeTensorTypes, typeNameOf } from './dialects.ts';
import { quoteName } from './errors.ts';
import type { GgufMetadata } from './metadata.ts';
import type { GgmlTypeName } from './tensor-types.ts';
import { tensorSizeBytes, tensorTypeOf } from './tensor-types.ts';

/** Where a tensor is and what it is. All of it has been checked against the size of the source. */
export interface GgufTensor {
  readonly name: string;
  /** ggml's number of the type, as in the file. */
  readonly typeId: number;
  readonly type: GgmlTypeName;
  /** Outermost first, 1 to 4 numbers: [rows, columns] for the weights of a linear layer. */
  readonly shape: readonly number[];
  /** The same, innermost first, as in the file. */
  readonly ggmlDims: readonly number[];
  readonly elementCount: number;
  /** Absolute, in the source. A multiple of the file's alignment past where its data section starts. */
  readonly offsetBytes: number;
  /** What the type's rule says, trailer included; padding is not. */
  readonly sizeBytes: number;
}

/** Fewest bytes an entry takes: name length, one byte of name, dimension count, one dimension, type, offset. */
export const MIN_TENSOR_INFO_BYTES: number = 8 + 1 + 4 + 8 + 4 + 8;

/** An entry of the table as it is in the file: what its type number means is not known yet. */
interface TensorInfo {
  readonly name: string;
  readonly ggmlDims: readonly number[];
  readonly typeId: number;
  /** From the start of the data section. */
  readonly dataOffsetBytes: number;
  /** Where its entry is, for messages. */
  readonly entryBytes: number;
  readonly typeBytes: number;
}

export interface TensorTable {
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly dialect: GgufDialect;
  readonly dataOffsetBytes: number;
}

/**
 * Reads the tensor table, the last part of the header.
 *
 * @param alignment - of the data section and of every tensor in it; a power of two
 * @param forcedDialect - what the caller says that the types mean
 * @throws GgufError for a table that is malformed or does not fit the source
 */
export async function readTensorTable(
  cursor: HeaderCursor,
  count: number,
  alignment: number,
  metadata: GgufMetadata,
  forcedDialect: GgufDialectName | undefined,
): Promise<TensorTable> {
  const infos = new Map<string, TensorInfo>();
  for (let index = 0; index < count; index++) {
    const info = await cursor.attempt(`tensor entry ${index}`, () => readTensorInfo(cursor, alignment, infos));
    infos.set(info.name, info);
  }
  const dataOffsetBytes = Math.ceil(cursor.positionBytes / alignment) * alignment;
  const list = [...infos.values()];
  const dialect =
    forcedDialect === undefined
      ? decideDialect(evidenceOf(list, cursor.sourceSizeBytes - dataOffsetBytes), metadata, alignment)
      : { name: forcedDialect, reason: 'given by the caller' };
  const tensors = list.map((info) => placeTensor(cursor, info, dialect.name, dataOffsetBytes));
  refuseOverlaps(cursor, tensors);
  return { tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), dialect, dataOffsetBytes };
}

function evidenceOf(infos: readonly TensorInfo[], dataBytes: number): DialectEvidence[] {
  const byOffset = infos.toSorted((a, b) => a.dataOffsetBytes - b.dataOffsetBytes);
  return byOffset.map((info, index) => {
    const endBytes = byOffset[index + 1]?.dataOffsetBytes ?? dataBytes;
    return { ...info, roomBytes: endBytes - info.dataOffsetBytes };
  });
}

function readTensorInfo(cursor: HeaderCursor, alignment: number, known: ReadonlyMap<string, TensorInfo>): TensorInfo {
  const entryBytes = cursor.positionBytes;
  const name = cursor.name('tensorNameBytes');
  if (name === '') {
    const advice = 'The file is damaged; download or convert it again.';
    throw cursor.error('GGUF_EMPTY_NAME', 'A tensor has no name', advice, entryBytes);
  }
  if (known.has(name)) {
    const advice = 'Which one counts is undefined; convert the model again.';
    throw cursor.error('GGUF_DUPLICATE_TENSOR', `The tensor ${quoteName(name)} is there twice`, advice, entryBytes);
  }
  cursor.reading = `the entry of tensor ${quoteName(name)}`;
  const ggmlDims = readDims(cursor);
  const typeBytes = cursor.positionBytes;
  const typeId = cursor.u32();
  const offsetStart = cursor.positionBytes;
  const dataOffsetBytes = cursor.count();
  if (!(dataOffsetBytes % alignment === 0)) {
    const what = `The data offset ${dataOffsetBytes} is not a multiple of the file's alignment, ${alignment}`;
    throw cursor.error('GGUF_MISALIGNED_TENSOR', what, 'The file is damaged; convert the model again.', offsetStart);
  }
  return { name, ggmlDims, typeId, dataOffsetBytes, entryBytes, typeBytes };
}

/** 1 to `limits.dimensions` numbers >= 1, innermost first. */
function readDims(cursor: HeaderCursor): number[] {
  const start = cursor.positionBytes;
  const dimCount = cursor.u32();
  if (dimCount === 0) {
    throw cursor.error(
      'GGUF_BAD_SHAPE',
      'The tensor has no dimensions',
      'ggml has 1 to 4; the file is damaged.',
      start,
    );
  }
  cursor.requireBytes(dimCount, 8);
  cursor.requireLimit('dimensions', dimCount);
  const ggmlDims: number[] = [];
  for (let index = 0; index < dimCount; index++) {
    ggmlDims.push(cursor.count());
  }
  if (ggmlDims.includes(0)) {
    const advice = 'The file is damaged; download or convert it again.';
    throw cursor.error('GGUF_BAD_SHAPE', `A dimension of [${ggmlDims.join(', ')}] is 0`, advice, start);
  }
  return ggmlDims;
}

/** Gives the entry its type and its place, and checks that it lies inside the source. */
function placeTensor(
  cursor: HeaderCursor,
  info: TensorInfo,
  dialect: GgufDialectName,
  sectionBytes: number,
): GgufTensor {
  const { name, typeId, ggmlDims } = info;
  cursor.reading = `the entry of tensor ${quoteName(name)}`;
  const type = typeNameOf(dialect, typeId);
  if (type === undefined) {
    const advice = `The dialect ${dialect} has ${describeTensorTypes(dialect)}; convert the model to one of these.`;
    throw cursor.error('GGUF_UNSUPPORTED_TENSOR_TYPE', `Unknown tensor type ${typeId}`, advice, info.typeBytes);
  }
  const elementCount = ggmlDims.reduce((product, dim) => product * dim, 1);
  const sizeBytes = sizeOf(cursor, info, type, elementCount);
  const offsetBytes = sectionBytes + info.dataOffsetBytes;
  const endBytes = offsetBytes + sizeBytes;
  // A sum above 2^53 is rounded, but stays above the size of the source, which is a safe integer.
  if (!(endBytes <= cursor.sourceSizeBytes)) {
    const what = `Its data would end at byte ${endBytes} and the source has ${cursor.sourceSizeBytes} bytes`;
    const advice = 'The file is cut short or damaged; download or convert it again.';
    throw cursor.error('GGUF_TENSOR_BEYOND_END', what, advice, info.entryBytes);
  }
  return { name, typeId, type, shape: ggmlDims.toReversed(), ggmlDims, elementCount, offsetBytes, sizeBytes };
}

function sizeOf(cursor: HeaderCursor, info: TensorInfo, type: GgmlTypeName, elementCount: number): number {
  const { ggmlDims, typeBytes } = info;
  const advice = 'The file is damaged; download or convert it again.';
  const { blockElements } = tensorTypeOf(type);
  if (ggmlDims[0]! % blockElements !== 0) {
    const what = `A row of ${ggmlDims[0]} elements is not a whole number of ${type} blocks of ${blockElements}`;
    throw cursor.error('GGUF_BAD_SHAPE', what, advice, typeBytes);
  }
  // Every factor is >= 1, so a product that has reached 2^53, where it may be rounded, stays there.
  const sizeBytes = tensorSizeBytes(type, ggmlDims);
  if (!(Number.isSafeInteger(elementCount) && Number.isSafeInteger(sizeBytes))) {
    const what = `[${ggmlDims.join(', ')}] is no shape for ${type}: over 2^53 elements or bytes, or a TL2 row under 256`;
    throw cursor.error('GGUF_BAD_SHAPE', what, advice, typeBytes);
  }
  return sizeBytes;
}

function refuseOverlaps(cursor: HeaderCursor, tensors: readonly GgufTensor[]): void {
  const byOffset = tensors.toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  for (const [index, tensor] of byOffset.entries()) {
    const previous = byOffset[index - 1];
    if (previous !== undefined && previous.offsetBytes + previous.sizeBytes > tensor.offsetBytes) {
      cursor.reading = 'the tensor table';
      const what = `The data of ${quoteName(previous.name)} and ${quoteName(tensor.name)} overlap`;
      const advice = 'The file is damaged; download or convert it again.';
      throw cursor.error('GGUF_OVERLAPPING_TENSORS', what, advice, tensor.offsetBytes);
    }
  }
}
