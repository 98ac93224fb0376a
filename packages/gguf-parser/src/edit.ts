import type { GgufWritable } from './encode.ts';
import { HeaderEncoder } from './encode.ts';
import { quoteName } from './errors.ts';
import type { GgufFile } from './open.ts';
import { readExactly } from './source.ts';
import { encodePreamble, paddingAfter } from './write.ts';
import type { GgufValueType } from './value-types.ts';

const CHUNK_BYTES = 2 ** 20;

/**
 * Changes metadata and copies all else byte for byte: untouched entries, the tensor table, and everything from the
 * start of the data section to the end of the file, whatever it is (trailers, padding, bytes that no tensor claims).
 * Without a change the result is the same file.
 */
export class GgufEditor {
  readonly #file: GgufFile;
  /** By key, in the file's order: bytes of a new entry, or undefined for one that is copied. */
  readonly #entries: Map<string, Uint8Array | undefined>;

  /** @throws TypeError for a split model: its metadata and tensor tables are in several files */
  constructor(file: GgufFile) {
    if (file.source.parts !== undefined && file.source.parts.length > 1) {
      throw new TypeError('A split model cannot be edited; merge its files first.');
    }
    this.#file = file;
    this.#entries = new Map(Array.from(file.metadata.keys(), (key) => [key, undefined]));
  }

  /** Replaces the value in its place, or adds the key at the end. */
  set(key: string, type: GgufValueType, value: GgufWritable | Uint8Array): this {
    this.#refuseAlignment(key);
    const encoder = new HeaderEncoder(this.#file.byteOrder === 'little');
    encoder.entry(key, type, value);
    this.#entries.set(key, encoder.bytes);
    return this;
  }

  /** @throws RangeError if there is no such key */
  remove(key: string): this {
    this.#refuseAlignment(key);
    if (!this.#entries.delete(key)) {
      throw new RangeError(`${this.#file.source.name} has no key ${quoteName(key)}.`);
    }
    return this;
  }

  /** The edited file. Never write it over the one that it is read from: write elsewhere and rename. */
  async *chunks(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = options;
    const { source, tableRange, alignment, dataOffsetBytes } = this.#file;
    const header = await this.#header(signal);
    yield header;
    const tableEnd = tableRange.offsetBytes + tableRange.sizeBytes;
    const dataStart = Math.min(dataOffsetBytes, source.sizeBytes);
    const padding = paddingAfter(header.byteLength, alignment);
    if (padding.byteLength === dataStart - tableEnd || dataStart < dataOffsetBytes) {
      yield await readExactly(source, tableEnd, dataStart - tableEnd, signal);
    } else {
      yield padding;
    }
    for (let at = dataStart; at < source.sizeBytes; at += CHUNK_BYTES) {
      yield await readExactly(source, at, Math.min(CHUNK_BYTES, source.sizeBytes - at), signal);
    }
  }

  async #header(signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { source, version, byteOrder, metadata, tensors, tableRange } = this.#file;
    const encoder = new HeaderEncoder(byteOrder === 'little');
    encodePreamble(encoder, version, tensors.size, this.#entries.size);
    for (const [key, bytes] of this.#entries) {
      const range = metadata.rangeOf(key);
      encoder.raw(bytes ?? (await readExactly(source, range!.offsetBytes, range!.sizeBytes, signal)));
    }
    encoder.raw(await readExactly(source, tableRange.offsetBytes, tableRange.sizeBytes, signal));
    return encoder.bytes;
  }

  #refuseAlignment(key: string): void {
    if (key === 'general.alignment') {
      throw new TypeError('general.alignment decides where tensors lie; write a new file with writeGguf to change it.');
    }
  }
}
