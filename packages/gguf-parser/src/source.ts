import { GgufError } from './errors.ts';

/** Where the bytes of a file come from. */
export interface GgufSource {
  /** For messages: a file name, a URL. */
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Exactly `lengthBytes` bytes from `offsetBytes` on; the range lies inside the source.
   * The caller does not write into the result, so it may be a view.
   */
  read(offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** For a model split over several files: theirs, in order. This source is then their bytes one after the other. */
  readonly parts?: readonly GgufSource[];
}

/** A source over bytes in memory. Reads are views of `bytes`, not copies; do not change them while they are in use. */
export function sourceFromBytes(bytes: Uint8Array | ArrayBuffer, name = 'bytes'): GgufSource {
  const all = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return {
    name,
    sizeBytes: all.byteLength,
    async read(offsetBytes, lengthBytes, signal) {
      signal?.throwIfAborted();
      checkRange(offsetBytes, lengthBytes, all.byteLength);
      return all.subarray(offsetBytes, offsetBytes + lengthBytes);
    },
  };
}

/** A source over a Blob, or a File that a user chose. Only the ranges that are read come into memory. */
export function sourceFromBlob(blob: Blob, name?: string): GgufSource {
  const ownName = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'blob';
  return {
    name: name ?? ownName,
    sizeBytes: blob.size,
    async read(offsetBytes, lengthBytes, signal) {
      signal?.throwIfAborted();
      checkRange(offsetBytes, lengthBytes, blob.size);
      return new Uint8Array(await blob.slice(offsetBytes, offsetBytes + lengthBytes).arrayBuffer());
    },
  };
}

/** @throws RangeError if the range is not inside a source of `sizeBytes` bytes */
export function checkRange(offsetBytes: number, lengthBytes: number, sizeBytes: number): void {
  const valid =
    Number.isSafeInteger(offsetBytes) &&
    Number.isSafeInteger(lengthBytes) &&
    offsetBytes >= 0 &&
    lengthBytes >= 0 &&
    offsetBytes + lengthBytes <= sizeBytes;
  if (!valid) {
    throw new RangeError(`Cannot read ${lengthBytes} bytes at byte ${offsetBytes}: the source has ${sizeBytes} bytes.`);
  }
}

/** Reads a range and does not take the source's word for its length: sources are other people's code too. */
export async function readExactly(
  source: GgufSource,
  offsetBytes: number,
  lengthBytes: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const bytes = await source.read(offsetBytes, lengthBytes, signal);
  signal?.throwIfAborted();
  if (bytes.byteLength !== lengthBytes) {
    throw new GgufError(
      'GGUF_SHORT_READ',
      `The source gave ${bytes.byteLength} of ${lengthBytes} bytes (at byte ${offsetBytes} of ${source.name}). ` +
        'It may have changed while it was read; open it again.',
    );
  }
  return bytes;
}
