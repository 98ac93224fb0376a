import { attentionScratchBytes, type Lanes } from '../contract.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

const LANES: readonly Lanes[] = [8, 16];

export function attentionCases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 5);
  const cases: ConformanceCase[] = [
    conformanceCase('storeKeysValues, overflow and subnormals too', (arena) => {
      const [count, kvHeads, headDim, cells] = [3, 2, 16, 32];
      const keys = arena.input('keys', 'f32', random.wide(count * kvHeads * headDim, -30, 20));
      const values = arena.input('values', 'f32', random.wide(count * kvHeads * headDim, -30, 20));
      const keyCache = arena.output('keyCache', 'f16', kvHeads * cells * headDim);
      const valueCache = arena.output('valueCache', 'f16', kvHeads * cells * headDim);
      return (kernels) =>
        kernels.storeKeysValues(keys, values, count, kvHeads, headDim, 5, cells, keyCache, valueCache);
    }),
  ];
  const shapes = [
    { heads: 4, kvHeads: 2, headDim: 64, position: 0, count: 1 },
    { heads: 4, kvHeads: 4, headDim: 64, position: 0, count: 5 },
    { heads: 5, kvHeads: 1, headDim: 128, position: 40, count: 1 },
    { heads: 2, kvHeads: 1, headDim: 96, position: 61, count: 4 },
    { heads: 1, kvHeads: 1, headDim: 32, position: 3, count: 1 },
    { heads: 1, kvHeads: 1, headDim: 32, position: 3, count: 2 },
    { heads: 18, kvHeads: 2, headDim: 16, position: 33, count: 1 }, // more heads of a group than are computed at a time
    { heads: 2, kvHeads: 2, headDim: 8, position: 2, count: 1 },
    { heads: 6, kvHeads: 1, headDim: 128, position: 70, count: 1 }, // cells and columns beyond the full ones
    { heads: 14, kvHeads: 2, headDim: 80, position: 90, count: 1 },
    { heads: 2, kvHeads: 1, headDim: 64, position: 5, count: 30 }, // tiles that do not see all cells
    { heads: 2, kvHeads: 1, headDim: 80, position: 37, count: 11 },
  ];
  for (const lanes of LANES) {
    for (const { heads, kvHeads, headDim, position, count } of shapes) {
      for (const { gain, name, special, specialKey } of [
        { gain: 1, name: '' },
        { gain: 30, name: ', peaked' },
        { gain: 300, name: ', scores far apart' },
        { gain: 1, name: ', values of one column 0', special: 0 },
        { gain: 1, name: ', last value infinite', special: 0x7c00 },
        { gain: 1, name: ', a key infinite', specialKey: 0x7c00 },
      ]) {
        if (gain === 300 && headDim !== 64) continue; // to softmax, heads of all widths are alike
        for (const withTaps of [true, false]) {
          const title = `attention ${heads} heads of ${headDim} over ${kvHeads}, ${count} row(s) at ${position}, ${lanes} lanes${name}${withTaps ? ', taps' : ''}`;
          cases.push(
            conformanceCase(title, (arena) => {
              const cacheCells = 96;
              const cells = Math.ceil((position + count) / 32) * 32;
              const q = arena.input('q', 'f32', random.normal(count * heads * headDim, gain));
              // Unused cells are zero, as in a session.
              const used = (cell: number, bits: number): number => (cell < position + count ? bits : 0);
              const cacheLength = kvHeads * cacheCells * headDim;
              const keys = random
                .smallF16(cacheLength)
                .map((bits, i) => used(Math.floor(i / headDim) % cacheCells, i === 3 ? (specialKey ?? bits) : bits));
              const values = random.smallF16(cacheLength).map((bits, i) => {
                const column = Math.floor(i / cacheCells) % headDim;
                const isSpecial = column === 5 && (special === 0 || i % cacheCells === position + count - 1);
                return used(i % cacheCells, special !== undefined && isSpecial ? special : bits);
              });
              const keyCache = arena.input('keyCache', 'f16', keys);
              const valueCache = arena.input('valueCache', 'f16', values);
              const out = arena.output('out', 'f32', count * heads * headDim);
              const scores = withTaps ? arena.output('scores', 'f32', heads * count * cells) : 0;
              const probabilities = withTaps ? arena.output('probabilities', 'f32', heads * count * cells) : 0;
              const scratch = arena.scratch(attentionScratchBytes(headDim, cells));
              const scale = Math.fround(1 / Math.fround(Math.sqrt(headDim)));
              return (kernels) => {
                for (const [begin, end] of [
                  [heads >> 1, heads],
                  [0, heads >> 1],
                ] as const) {
                  kernels.attention(
                    q,
                    begin,
                    end,
                    heads,
                    kvHeads,
                    headDim,
                    count,
                    position,
                    keyCache,
                    valueCache,
                    cacheCells,
                    cells,
                    scale,
                    lanes,
                    out,
                    scores,
                    probabilities,
                    scratch,
                  );
                }
              };
            }),
          );
        }
      }
    }
  }
  return cases;
}
