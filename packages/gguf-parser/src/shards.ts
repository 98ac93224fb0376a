import type { GgufDialect } from './dialects.ts';
import { GgufError, quoteName } from './errors.ts';
import type { GgufHeader } from './header.ts';
import type { GgufMetadata } from './metadata.ts';
import type { GgufSource } from './source.ts';
import { partStarts } from './split.ts';
import type { GgufTensor } from './tensor-infos.ts';
import type { GgmlTypeName } from './tensor-types.ts';

/**
 * The headers of a model's files as one: the first file's metadata, everybody's tensors, placed in the joined source.
 *
 * @throws GgufError GGUF_BAD_SPLIT if the files are not all of one model, in order
 */
export function mergeHeaders(parts: readonly GgufSource[], headers: readonly GgufHeader[]): GgufHeader {
  const first = headers[0]!;
  const starts = partStarts(parts);
  const tensors = new Map<string, GgufTensor>();
  const types = new Map<number, GgmlTypeName>();
  for (const [index, header] of headers.entries()) {
    requirePlace(parts[index]!, header.metadata, index, parts.length);
    requireAlike(parts[index]!, first, header);
    requireSameTypes(parts[index]!, header, types);
    for (const tensor of header.tensors.values()) {
      if (tensors.has(tensor.name)) {
        const what = `The tensor ${quoteName(tensor.name)} is there twice, the second time in ${parts[index]!.name}`;
        throw new GgufError('GGUF_DUPLICATE_TENSOR', `${what}. Give each file of the model once.`);
      }
      tensors.set(tensor.name, { ...tensor, offsetBytes: starts[index]! + tensor.offsetBytes });
    }
  }
  const promised = first.metadata.get('split.tensors.count');
  if (promised !== undefined && promised !== tensors.size) {
    const what = `split.tensors.count of ${parts[0]!.name} is ${String(promised)} and the files have ${tensors.size}`;
    throw new GgufError('GGUF_BAD_SPLIT', `${what}. Download the files again, all from the same place.`);
  }
  return { ...first, tensors, dialect: mostTelling(headers) };
}

/** `split.no` counts from 0, though file names count from 1. */
function requirePlace(source: GgufSource, metadata: GgufMetadata, index: number, count: number): void {
  const [number, total] = [metadata.get('split.no'), metadata.get('split.count')];
  if (number !== index || total !== count) {
    throw new GgufError(
      'GGUF_BAD_SPLIT',
      `${source.name} is given as file ${index + 1} of ${count}, but its split.no is ${String(number)} (from 0) ` +
        `and its split.count ${String(total)}. Give all files of one model, in order.`,
    );
  }
}

function requireAlike(source: GgufSource, first: GgufHeader, header: GgufHeader): void {
  if (header.byteOrder !== first.byteOrder || header.version !== first.version) {
    const what = `${source.name} has another version or byte order than the first file`;
    throw new GgufError('GGUF_BAD_SPLIT', `${what}. Give all files of one model.`);
  }
}

/**
 * Each file's types are decided by themselves; one number must not have come out as two types.
 *
 * @param types - what the numbers were in the files before; added to
 */
function requireSameTypes(source: GgufSource, header: GgufHeader, types: Map<number, GgmlTypeName>): void {
  for (const { name, typeId, type } of header.tensors.values()) {
    const other = types.get(typeId) ?? type;
    if (other !== type) {
      const what = `Type ${typeId} is ${other} in the files before ${source.name}, and ${type} for ${quoteName(name)} there`;
      throw new GgufError('GGUF_UNDECIDED_DIALECT', `${what}. If you know which, open the files with that dialect.`);
    }
    types.set(typeId, type);
  }
}

/** A file with common types only says nothing, and is called `ggml`: one that says more counts. */
function mostTelling(headers: readonly GgufHeader[]): GgufDialect {
  return (headers.find(({ dialect }) => dialect.name !== 'ggml') ?? headers[0]!).dialect;
}

/** @throws GgufError GGUF_BAD_SPLIT for one file of a split model: most of its tensors would be missing */
export function refuseLoneShard(source: GgufSource, metadata: GgufMetadata): void {
  const count = metadata.get('split.count');
  if (typeof count === 'number' && count > 1) {
    throw new GgufError(
      'GGUF_BAD_SPLIT',
      `${source.name} is one of ${count} files of a model. Give openGguf the sources of all, in order ` +
        '(openFile and openUrl find them by name).',
    );
  }
}
