import { ABI_STRUCTS, type AbiField, type AbiLayouts, type AbiStruct, type AbiStructName } from '../abi-layouts.ts';
import { BridgeError } from '../errors.ts';
import type { ApiGeneration } from '../library.ts';
import { type CStruct, type CType, readDeclarations } from './declarations.ts';
import { type HeaderSource, preprocess } from './preprocessor.ts';

/** What headers say of the library that they belong to. */
export interface HeaderLayouts {
  readonly layouts: AbiLayouts;
  readonly generation: ApiGeneration;
}

/** Functions that only one generation declares. */
export const GENERATION_FUNCTIONS: Readonly<Record<ApiGeneration, readonly string[]>> = {
  new: ['llama_model_load_from_file', 'llama_init_from_model', 'llama_get_memory'],
  old: ['llama_load_model_from_file', 'llama_new_context_with_model', 'llama_kv_cache_clear'],
};

/**
 * Struct layouts for x86-64 System V from `llama.h` and what it includes. A build may define macros otherwise than the
 * headers do; a struct that depends on one is refused, except for values that the headers give as defaults (`#ifndef X`,
 * `#define X`), such as `GGML_MAX_NAME`.
 *
 * @throws BridgeError BRIDGE_BAD_HEADER where a header is no C, BRIDGE_NO_LAYOUT where a layout is not certain
 */
export function readHeaderLayouts(headers: HeaderSource): HeaderLayouts {
  const { structs, functions } = readDeclarations(preprocess(headers, 'llama.h'), 'llama.h with what it includes');
  const layouts = Object.fromEntries(
    ABI_STRUCTS.map((name) => [name, layoutOf(name, structs.get(name) ?? { unknown: 'the headers do not define it' })]),
  ) as Record<AbiStructName, AbiStruct>;
  const generation = generationOf(functions);
  if (generation === undefined) {
    throw new BridgeError(
      'BRIDGE_NO_LAYOUT',
      `llama.h declares neither API: a new one has ${GENERATION_FUNCTIONS.new.join(', ')}, an old one ${GENERATION_FUNCTIONS.old.join(', ')}.`,
    );
  }
  return { layouts, generation };
}

/** Which API a header declares or a library has. A new one may keep the old names too. */
export function generationOf(functions: ReadonlySet<string>): ApiGeneration | undefined {
  const generations: readonly ApiGeneration[] = ['new', 'old'];
  return generations.find((generation) => GENERATION_FUNCTIONS[generation].every((name) => functions.has(name)));
}

function layoutOf(name: string, struct: CStruct | { unknown: string }): AbiStruct {
  if ('unknown' in struct) {
    throw new BridgeError('BRIDGE_NO_LAYOUT', `The layout of ${name} is not certain: ${struct.unknown}.`);
  }
  const fields: Record<string, AbiField> = {};
  for (const [field, { offsetBytes, type }] of struct.fields) fields[field] = { offsetBytes, ...elementsOf(type) };
  return { sizeBytes: struct.sizeBytes, fields };
}

/** A struct in a struct is its bytes: the bridge does not read into it. */
function elementsOf(type: Exclude<CType, { unknown: string }>): Omit<AbiField, 'offsetBytes'> {
  if (type.scalar === undefined) return { type: 'u8', count: type.sizeBytes };
  return type.count === undefined ? { type: type.scalar } : { type: type.scalar, count: type.count };
}
