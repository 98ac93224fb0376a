import { createReadStream } from 'node:fs';
import type { Tl1Tilings } from '@bittern/engine';
import type { Tl1Tiling } from '@bittern/gguf-parser';
import { UsageError } from './errors.ts';

/** Over a thousand shapes; a model has four. */
const MOST_BYTES = 65_536;

const WANTED = 'a TL1 tiling is a JSON object such as {"4096x4096": [128, 64, 64]}';

/**
 * Reads `{ "MxK": [BM, BBK, bm], ... }`, if there is such a file. Whether the entries are tilings, and fit, is the engine's to say.
 *
 * @throws {UsageError} if the file is too large or not of this form
 */
export async function readTl1Tiling(path: string | undefined): Promise<Tl1Tilings | undefined> {
  if (path === undefined) return undefined;
  const chunks: Buffer[] = [];
  // `end` is the last byte read: one more than may be there.
  for await (const chunk of createReadStream(path, { end: MOST_BYTES })) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  if (bytes.length > MOST_BYTES)
    throw new UsageError(`${path}: ${WANTED}; this file has more than ${MOST_BYTES} bytes.`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new UsageError(`${path}: ${WANTED}; this file is not JSON.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`${path}: ${WANTED}; this file holds something else.`);
  }
  return value as Tl1Tilings; // the engine checks each entry that it uses
}

/** The same in the words of the bridge. */
export function bridgeTilings(tilings: Tl1Tilings): Record<string, Tl1Tiling> {
  return Object.fromEntries(
    Object.entries(tilings).map(([shape, [tileRows, tileColumns, innerRows]]) => [
      shape,
      { tileRows, tileColumns, innerRows },
    ]),
  );
}
