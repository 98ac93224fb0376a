import type { GgufSource } from './source.ts';
import { checkRange } from './source.ts';

/** `name-00002-of-00003.gguf`, and whatever follows it in a URL. */
const SHARD_NAME = /-(\d{5})-of-(\d{5})\.gguf(?=$|[?#])/;

/**
 * The names of all files of a split model, from that of any of them; undefined for a name that is no such file's.
 * `x-00002-of-00003.gguf` gives `x-00001-of-00003.gguf` to `x-00003-of-00003.gguf`.
 */
export function shardNames(name: string): string[] | undefined {
  const [, number, total] = SHARD_NAME.exec(name) ?? [];
  const count = Number(total);
  if (number === undefined || !(Number(number) >= 1 && Number(number) <= count)) {
    return undefined;
  }
  return Array.from({ length: count }, (_, index) =>
    name.replace(SHARD_NAME, `-${String(index + 1).padStart(5, '0')}-of-${total}.gguf`),
  );
}

/** The files of a split model as one source, which `openGguf` opens as one model. */
export function joinSources(parts: readonly GgufSource[]): GgufSource & { readonly parts: readonly GgufSource[] } {
  const starts = partStarts(parts);
  const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  return {
    name: parts[0]?.name ?? 'no sources',
    sizeBytes,
    parts,
    async read(offsetBytes, lengthBytes, signal) {
      checkRange(offsetBytes, lengthBytes, sizeBytes);
      const endBytes = offsetBytes + lengthBytes;
      const pieces: Uint8Array[] = [];
      for (const [index, part] of parts.entries()) {
        const start = starts[index]!;
        const from = Math.max(offsetBytes, start);
        const to = Math.min(endBytes, start + part.sizeBytes);
        if (from < to) {
          pieces.push(await part.read(from - start, to - from, signal));
        }
      }
      return pieces.length === 1 ? pieces[0]! : concatBytes(pieces);
    },
  };
}

/** Where each part starts in the joined source. */
export function partStarts(parts: readonly GgufSource[]): number[] {
  let start = 0;
  return parts.map((part) => {
    start += part.sizeBytes;
    return start - part.sizeBytes;
  });
}

function concatBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
