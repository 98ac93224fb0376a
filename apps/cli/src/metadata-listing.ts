import { matchesGlob } from '@bittern/engine';
import type { GgufMetadata } from '@bittern/gguf-parser';
import { codeOf } from './errors.ts';
import { printable, table } from './output.ts';

/** A string of the file that is not UTF-8; its bytes in hexadecimal, or null for one in an array of arrays. */
interface NotUtf8 {
  readonly note: 'not UTF-8';
  readonly hex: string | null;
}

/** A value as JSON can have it, but for NaN, infinities and bigint. */
export type Readable = number | bigint | boolean | string | NotUtf8 | Readable[];

/** What is shown in place of a long array or string. */
interface Abbreviated {
  readonly length: number;
  readonly first?: Readable | Abbreviated | (Readable | Abbreviated)[];
}

type MetadataEntry = { readonly key: string; readonly type: string } & ({ readonly value: Readable } | Abbreviated);

export interface MetadataListing {
  /** In the file. */
  readonly count: number;
  /** In `entries`. */
  readonly shown: number;
  readonly entries: readonly MetadataEntry[];
}

/** Elements of an array that stand for it. */
const FIRST_ELEMENTS = 5;
/** Characters of a string that stand for it, in JSON and in text. */
const FIRST_CHARACTERS = 1000;
const FIRST_CHARACTERS_IN_TEXT = 120;

/** @param options.glob - keys to list, default all; `whole`: arrays and long strings are not abbreviated */
export function listMetadata(
  metadata: GgufMetadata,
  { glob, whole = false }: { readonly glob?: string | undefined; readonly whole?: boolean } = {},
): MetadataListing {
  const keys = [...metadata.keys()].filter((key) => glob === undefined || matchesGlob(glob, key));
  const entries = keys.map((key): MetadataEntry => {
    const entry = { key, type: metadata.typeOf(key)! };
    if (whole) return { ...entry, value: readValue(metadata, key)! };
    const value = abbreviatedValue(metadata, key);
    return isAbbreviated(value) ? { ...entry, ...value } : { ...entry, value };
  });
  return { count: metadata.size, shown: keys.length, entries };
}

/** A value of the file; unlike `metadata.get` it never throws. */
export function readValue(metadata: GgufMetadata, key: string): Readable | undefined {
  const strings = metadata.stringBytes(key)?.map(decode);
  if (strings !== undefined) return metadata.typeOf(key) === 'string' ? strings[0] : strings;
  try {
    const value = metadata.get(key);
    return value === undefined ? undefined : plain(value);
  } catch (error) {
    if (codeOf(error) !== 'GGUF_BAD_UTF8') throw error;
    return { note: 'not UTF-8', hex: null };
  }
}

/** A string of the file; undefined if the key is missing, of another type or not UTF-8. */
export function readText(metadata: GgufMetadata, key: string): string | undefined {
  const value = metadata.typeOf(key) === 'string' ? readValue(metadata, key) : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** Elements of an array; 0 if the key is missing or no array. */
export function arrayLength(metadata: GgufMetadata, key: string): number {
  if (!metadata.typeOf(key)?.startsWith('array')) return 0;
  const { length } = metadata.stringBytes(key) ?? (readValue(metadata, key) as Readable[]);
  return length;
}

export function metadataText({ count, shown, entries }: MetadataListing, glob?: string): string {
  const rows = entries.map((entry) => [`  ${printable(entry.key)}`, entry.type, entryText(entry)]);
  return `${countText('Metadata', 'keys', shown, count, glob)}\n${table(rows)}`;
}

/** `Metadata: 3 of 24 keys match "*rope*"`: how many are shown, and of how many. */
export function countText(what: string, unit: string, shown: number, count: number, glob: string | undefined): string {
  if (glob === undefined) return `${what}: ${count} ${unit}`;
  return `${what}: ${shown} of ${count} ${unit} match ${printable(JSON.stringify(glob))}`;
}

/** On one line, long strings cut. */
export function valueText(value: unknown): string {
  if (isNotUtf8(value)) return `not UTF-8, in hexadecimal: ${value.hex === null ? '(nested)' : cut(value.hex)}`;
  if (isAbbreviated(value)) {
    if (typeof value.first !== 'string') return `[${value.length} elements]`;
    return `${quoted(value.first.slice(0, FIRST_CHARACTERS_IN_TEXT))}… (${value.length} characters)`;
  }
  if (typeof value !== 'string') return String(value);
  if (value.length <= FIRST_CHARACTERS_IN_TEXT) return quoted(value);
  return `${quoted(value.slice(0, FIRST_CHARACTERS_IN_TEXT))}… (${value.length} characters)`;
}

function entryText(entry: MetadataEntry): string {
  if ('value' in entry) return valueText(entry.value);
  if (!Array.isArray(entry.first)) return valueText(entry);
  const more = entry.length > entry.first.length ? `, … (${entry.length - entry.first.length} more)` : '';
  return `${entry.length} elements: ${entry.first.map(valueText).join(', ')}${more}`;
}

function abbreviatedValue(metadata: GgufMetadata, key: string): Readable | Abbreviated {
  const isString = metadata.typeOf(key) === 'string';
  const strings = metadata.stringBytes(key);
  // Of a vocabulary only what is shown is decoded.
  if (strings !== undefined && !isString) {
    return { length: strings.length, first: strings.slice(0, FIRST_ELEMENTS).map((bytes) => shortened(decode(bytes))) };
  }
  const value = readValue(metadata, key)!;
  if (!Array.isArray(value)) return shortened(value);
  const first = value.slice(0, FIRST_ELEMENTS);
  return {
    length: value.length,
    first: first.map((element) => (Array.isArray(element) ? { length: element.length } : element)),
  };
}

function shortened(value: Readable): Readable | Abbreviated {
  if (isNotUtf8(value) && value.hex !== null && value.hex.length > FIRST_CHARACTERS) {
    return { length: value.hex.length / 2, first: { ...value, hex: value.hex.slice(0, FIRST_CHARACTERS) } };
  }
  if (typeof value !== 'string' || value.length <= FIRST_CHARACTERS) return value;
  return { length: value.length, first: value.slice(0, FIRST_CHARACTERS) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string | NotUtf8 {
  try {
    return utf8.decode(bytes);
  } catch {
    return { note: 'not UTF-8', hex: Buffer.from(bytes).toString('hex') };
  }
}

/** Typed arrays, in JSON objects, become arrays. */
function plain(value: unknown): Readable {
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number | bigint>);
  return Array.isArray(value) ? value.map(plain) : (value as Readable);
}

function isAbbreviated(value: unknown): value is Abbreviated {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && 'length' in value;
}

function isNotUtf8(value: unknown): value is NotUtf8 {
  return typeof value === 'object' && value !== null && 'note' in value;
}

function cut(text: string): string {
  return text.length <= FIRST_CHARACTERS_IN_TEXT ? text : `${text.slice(0, FIRST_CHARACTERS_IN_TEXT)}…`;
}

function quoted(text: string): string {
  return printable(JSON.stringify(text));
}
