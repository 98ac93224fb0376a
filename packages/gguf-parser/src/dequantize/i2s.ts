import type { BlockDecoder } from './simple-blocks.ts';

/**
 * How I2_S weights are packed: weights to a block x bytes of it. The file does not say which, and the wrong one gives
 * wrong weights without an error.
 *
 * - `128x32`: byte p of a block holds weights p, 32 + p, 64 + p, 96 + p, highest bits first. x86 builds, all released
 *   files, ARM builds before November 2025.
 * - `64x16`: the same with 16. ARM builds of bitnet.cpp since 112f853.
 *
 * Source: microsoft/BitNet src/ggml-bitnet-mad.cpp at 01eb415, lines 49 and 151.
 */
export type I2sLayout = '128x32' | '64x16';

export const defaultI2sLayout: I2sLayout = '128x32';

/** @throws TypeError for a name that is no layout */
export function requireI2sLayout(name: string): asserts name is I2sLayout {
  if (name !== '128x32' && name !== '64x16') {
    throw new TypeError(`Unknown I2_S layout "${name}". Known: 128x32, 64x16.`);
  }
}

export function i2sBlockBytes(layout: I2sLayout): number {
  return layout === '128x32' ? 32 : 16;
}

/** Code 3 is in no sound file; bitnet.cpp reads it as 0. */
const WEIGHTS = [-1, 0, 1, 0] as const;

/** @param scale - the tensor's one scale, from its trailer */
export function i2sDecoder(layout: I2sLayout, scale: number): BlockDecoder {
  const blockBytes = i2sBlockBytes(layout);
  return (bytes, at, out, to) => {
    for (let p = 0; p < blockBytes; p++) {
      const codes = bytes[at + p]!;
      for (let quarter = 0; quarter < 4; quarter++) {
        out[to + quarter * blockBytes + p] = scale * WEIGHTS[(codes >> (6 - 2 * quarter)) & 3]!;
      }
    }
  };
}
