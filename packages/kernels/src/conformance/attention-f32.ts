import { attentionF32ScratchBytes, type Lanes } from '../contract.ts';
import { type ConformanceCase, conformanceCase } from './arena.ts';
import { Random } from './random.ts';

const LANES: readonly Lanes[] = [8, 16];

const SHAPES = [
  { heads: 4, kvHeads: 2, headDim: 64, position: 0, count: 1 },
  { heads: 4, kvHeads: 4, headDim: 64, position: 0, count: 13 },
  { heads: 5, kvHeads: 1, headDim: 128, position: 40, count: 1 },
  { heads: 2, kvHeads: 1, headDim: 96, position: 61, count: 4 },
  { heads: 2, kvHeads: 1, headDim: 24, position: 61, count: 2 },
  { heads: 1, kvHeads: 1, headDim: 32, position: 3, count: 1 },
  { heads: 1, kvHeads: 1, headDim: 32, position: 3, count: 2 },
];

export function attentionF32Cases(seed: number): ConformanceCase[] {
  const random = new Random(seed + 15);
  const cases: ConformanceCase[] = [
    conformanceCase('storeKeysValuesF32', (arena) => {
      const [count, kvHeads, headDim, cells] = [3, 2, 16, 32];
      const keys = arena.input('keys', 'f32', random.wide(count * kvHeads * headDim, -30, 20));
      const values = arena.input('values', 'f32', random.wide(count * kvHeads * headDim, -30, 20));
      const keyCache = arena.output('keyCache', 'f32', kvHeads * cells * headDim);
      const valueCache = arena.output('valueCache', 'f32', kvHeads * cells * headDim);
      return (kernels) =>
        kernels.storeKeysValuesF32(keys, values, count, kvHeads, headDim, 5, cells, keyCache, valueCache);
    }),
  ];
  for (const lanes of LANES) {
    for (const { heads, kvHeads, headDim, position, count } of SHAPES) {
      for (const [gain, name] of [
        [1, ''],
        [30, ', peaked'],
      ] as const) {
        for (const withTaps of [true, false]) {
          const title = `attentionF32 ${heads} heads of ${headDim} over ${kvHeads}, ${count} row(s) at ${position}, ${lanes} lanes${name}${withTaps ? ', taps' : ''}`;
          cases.push(
            conformanceCase(title, (arena) => {
              const cacheCells = 96;
              const cells = Math.ceil((position + count) / 32) * 32;
              const q = arena.input('q', 'f32', random.normal(count * heads * headDim, gain));
              // Unused cells are zero, as in a session.
              const used = (cell: number, value: number): number => (cell < position + count ? value : 0);
              const cacheLength = kvHeads * cacheCells * headDim;
              const keys = random
                .normal(cacheLength, 1)
                .map((value, i) => used(Math.floor(i / headDim) % cacheCells, value));
              const values = random.normal(cacheLength, 1).map((value, i) => used(i % cacheCells, value));
              const keyCache = arena.input('keyCache', 'f32', keys);
              const valueCache = arena.input('valueCache', 'f32', values);
              const out = arena.output('out', 'f32', count * heads * headDim);
              const scores = withTaps ? arena.output('scores', 'f32', heads * count * cells) : 0;
              const probabilities = withTaps ? arena.output('probabilities', 'f32', heads * count * cells) : 0;
              const scratch = arena.scratch(attentionF32ScratchBytes(cells));
              const scale = Math.fround(1 / Math.fround(Math.sqrt(headDim)));
              return (kernels) => {
                for (const [begin, end] of [
                  [heads >> 1, heads],
                  [0, heads >> 1],
                ] as const) {
                  kernels.attentionF32(
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
