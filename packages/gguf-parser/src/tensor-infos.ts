import type { HeaderCursor } from './cursor.ts';
import { quoteName } from './errors.ts';
import type { GgmlTypeName } from './tensor-types.ts';
import { describeTensorTypes, tensorSizeBytes, tensorTypeOf } from './tensor-types.ts';

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
  /** Absolute, in the source. A multiple of the file's alignment past `dataOffsetBytes`. */
  readonly offsetBytes: number;
  /** What the type's rule says, trailer included; padding is not. */
  readonly sizeBytes: number;
}

/** Fewest bytes an entry takes: name length, one byte of name, dimension count, one dimension, type, offset. */
export const MIN_TENSOR_INFO_BYTES: number = 8 + 1 + 4 + 8 + 4 + 8;

/** A tensor whose `offsetBytes` still counts from the start of the data, which is unknown until the table has ended. */
interface TensorInfo extends GgufTensor {
  /** Where its entry is, for messages. */
  readonly entryBytes: number;
}

/**
 * Reads the tensor table, the last part of the header.
 *
 * @param alignment - of the data section and of every tensor in it; a power of two
 * @throws GgufError for a table that is malformed or does not fit the source
 */
export async function readTensorInfos(
  cursor: HeaderCursor,
  count: number,
  alignment: number,
): Promise<{ tensors: ReadonlyMap<string, GgufTensor>; dataOffsetBytes: number }> {
  const infos = new Map<string, TensorInfo>();
  for (let index = 0; index < count; index++) {
    const info = await cursor.attempt(`tensor entry ${index}`, () => readTensorInfo(cursor, alignment, infos));
    infos.set(info.name, info);
  }
  const dataOffsetBytes = Math.ceil(cursor.positionBytes / alignment) * alignment;
  return { tensors: placeTensors(cursor, infos.values(), dataOffsetBytes), dataOffsetBytes };
}

function readTensorInfo(cursor: HeaderCursor, alignment: number, known: ReadonlyMap<string, TensorInfo>): TensorInfo {
  const entryBytes = cursor.positionBytes;
  const name = cursor.string('tensorNameBytes');
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
  const { typeId, type, elementCount, sizeBytes } = readSize(cursor, ggmlDims);
  const offsetStart = cursor.positionBytes;
  const offsetBytes = cursor.count();
  if (!(offsetBytes % alignment === 0)) {
    const what = `The data offset ${offsetBytes} is not a multiple of the file's alignment, ${alignment}`;
    throw cursor.error('GGUF_MISALIGNED_TENSOR', what, 'The file is damaged; convert the model again.', offsetStart);
  }
  const shape = ggmlDims.toReversed();
  return { name, typeId, type, shape, ggmlDims, elementCount, offsetBytes, sizeBytes, entryBytes };
}

function readDims(cursor: HeaderCursor): number[] {
  const start = cursor.positionBytes;
  const dimCount = cursor.u32();
  if (!(dimCount >= 1 && dimCount <= 4)) {
    const what = `The tensor has ${dimCount} dimensions`;
    throw cursor.error('GGUF_BAD_SHAPE', what, 'ggml has 1 to 4; the file is damaged or not for ggml.', start);
  }
  const ggmlDims: number[] = [];
  for (let index = 0; index < dimCount; index++) {
    ggmlDims.push(cursor.count());
  }
  return ggmlDims;
}

/** Reads the type and applies its rule to the dimensions. */
function readSize(
  cursor: HeaderCursor,
  ggmlDims: readonly number[],
): { typeId: number; type: GgmlTypeName; elementCount: number; sizeBytes: number } {
  const start = cursor.positionBytes;
  const typeId = cursor.u32();
  const type = tensorTypeOf(typeId);
  if (type === undefined) {
    const advice = `Supported: ${describeTensorTypes()}; convert the model to one of these.`;
    throw cursor.error('GGUF_UNSUPPORTED_TENSOR_TYPE', `Unknown tensor type ${typeId}`, advice, start);
  }
  const advice = 'The file is damaged; download or convert it again.';
  if (ggmlDims.includes(0)) {
    throw cursor.error('GGUF_BAD_SHAPE', `A dimension of [${ggmlDims.join(', ')}] is 0`, advice, start);
  }
  if (ggmlDims[0]! % type.blockElements !== 0) {
    const what = `A row of ${ggmlDims[0]} elements is not a whole number of ${type.name} blocks of ${type.blockElements}`;
    throw cursor.error('GGUF_BAD_SHAPE', what, advice, start);
  }
  // Every factor is >= 1, so a product that has reached 2^53, where it may be rounded, stays there.
  const elementCount = ggmlDims.reduce((product, dim) => product * dim, 1);
  const sizeBytes = tensorSizeBytes(type, elementCount);
  if (!(Number.isSafeInteger(elementCount) && Number.isSafeInteger(sizeBytes))) {
    const what = `[${ggmlDims.join(', ')}] has more than 2^53 elements or bytes`;
    throw cursor.error('GGUF_BAD_SHAPE', what, advice, start);
  }
  return { typeId, type: type.name, elementCount, sizeBytes };
}

/** Makes offsets absolute and checks that the tensors lie inside the source and apart from one another. */
function placeTensors(
  cursor: HeaderCursor,
  infos: Iterable<TensorInfo>,
  dataOffsetBytes: number,
): ReadonlyMap<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (const { entryBytes, ...info } of infos) {
    const tensor = { ...info, offsetBytes: dataOffsetBytes + info.offsetBytes };
    const endBytes = tensor.offsetBytes + tensor.sizeBytes;
    // A sum above 2^53 is rounded, but stays above the size of the source, which is a safe integer.
    if (!(endBytes <= cursor.sourceSizeBytes)) {
      cursor.reading = `the entry of tensor ${quoteName(tensor.name)}`;
      const what = `Its data would end at byte ${endBytes} and the source has ${cursor.sourceSizeBytes} bytes`;
      const advice = 'The file is cut short or damaged; download or convert it again.';
      throw cursor.error('GGUF_TENSOR_BEYOND_END', what, advice, entryBytes);
    }
    tensors.set(tensor.name, tensor);
  }
  const byOffset = [...tensors.values()].toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  for (const [index, tensor] of byOffset.entries()) {
    const previous = byOffset[index - 1];
    if (previous !== undefined && previous.offsetBytes + previous.sizeBytes > tensor.offsetBytes) {
      cursor.reading = 'the tensor table';
      const what = `The data of ${quoteName(previous.name)} and ${quoteName(tensor.name)} overlap`;
      const advice = 'The file is damaged; download or convert it again.';
      throw cursor.error('GGUF_OVERLAPPING_TENSORS', what, advice, tensor.offsetBytes);
    }
  }
  return tensors;
}
