import { expectedPositions, type LadderCase } from '../src/case.ts';
import { topK } from '../src/metrics.ts';
import type { EvaluationMode, LogitsRow, Side, TraceTap } from '../src/side.ts';

export const VOCAB_SIZE = 16;
export const MODEL: Side['identity']['model'] = { file: 'toy.gguf', sha256: 'a1'.repeat(32) };
const CELLS = 32;
const HEADS = 2;

/** A toy model: every logit is a plain function of the ids so far, so that both sides compute it from nothing. */
export function logitsOf(ids: readonly number[]): Float32Array {
  let state = 17;
  for (const id of ids) state = (state * 31 + id * 7 + 3) % 1009;
  return Float32Array.from({ length: VOCAB_SIZE }, (_, id) => Math.sin(state * (id + 1)) * 4);
}

export function tokenizeToy(text: string): number[] {
  return [1, ...Array.from(text, (character) => (character.codePointAt(0) ?? 0) % VOCAB_SIZE)];
}

/** Attention probabilities [heads, tokens, cells], causal. */
function probabilities(tokens: number, start: number): Float32Array {
  const values = new Float32Array(HEADS * tokens * CELLS);
  for (let row = 0; row < HEADS * tokens; row++) {
    const seen = start + (row % tokens) + 1;
    for (let cell = 0; cell < seen; cell++) values[row * CELLS + cell] = 1 / seen;
  }
  return values;
}

/** The taps of one evaluation call over `ids[start..start + tokens)`. */
export function tapsOfStep(ids: readonly number[], step: number, start: number, tokens: number): TraceTap[] {
  const rows = Array.from({ length: tokens }, (_, row) => [...logitsOf(ids.slice(0, start + row + 1))]);
  const tap = (name: string, occurrence: number, shape: number[], data: Float32Array): TraceTap => ({
    name,
    occurrence,
    step,
    shape,
    data,
  });
  const hidden = Float32Array.from(rows.flat(), (value) => value / 2);
  return [
    tap('inp_embd', 0, [tokens, VOCAB_SIZE], hidden),
    tap('norm-0', 0, [tokens, VOCAB_SIZE], hidden),
    // Equal scores, whose softmax gives equal weights.
    tap('kq-0', 0, [HEADS, tokens, CELLS], new Float32Array(HEADS * tokens * CELLS)),
    tap('kq_soft_max_ext-0', 0, [HEADS, tokens, CELLS], probabilities(tokens, start)),
    tap('norm-0', 1, [tokens, VOCAB_SIZE], hidden),
    tap('result_output', 0, [tokens, VOCAB_SIZE], Float32Array.from(rows.flat())),
  ];
}

function tapsOf(ids: readonly number[], mode: EvaluationMode): TraceTap[] {
  if (mode !== 'sequential') return tapsOfStep(ids, 0, 0, ids.length);
  return ids.flatMap((_, position) => tapsOfStep(ids, position, position, 1));
}

/** What a test changes. Each hook gets what the side would give and returns what it gives instead. */
export interface Changes {
  readonly identity?: Partial<Side['identity']>;
  tokens?(ids: number[]): number[];
  rows?(rows: LogitsRow[], mode: EvaluationMode): LogitsRow[];
  taps?(taps: TraceTap[]): TraceTap[];
  greedy?(ids: number[]): number[];
  generated?(rows: LogitsRow[]): LogitsRow[];
}

/** An engine for tests. Its arrays are overwritten after each call, as a view into an engine's memory would be. */
export function fakeSide(changes: Changes = {}): Side {
  function emit(rows: LogitsRow[], onLogits: ((row: LogitsRow) => void) | undefined): void {
    for (const row of rows) {
      const values = row.values?.slice();
      onLogits?.(values === undefined ? row : { ...row, values });
      values?.fill(Number.NaN);
    }
  }
  return {
    identity: { name: 'toy', version: '1', model: MODEL, ...changes.identity },
    async tokenize(text) {
      const ids = tokenizeToy(text);
      return changes.tokens?.(ids) ?? ids;
    },
    async evaluate(ids, { mode, onLogits }) {
      const rows: LogitsRow[] = expectedPositions(mode, ids.length).map((position) => ({
        position,
        values: logitsOf(ids.slice(0, position + 1)),
      }));
      emit(changes.rows?.(rows, mode) ?? rows, onLogits);
    },
    async decode(ids, { count, onLogits }) {
      const all = [...ids];
      const rows: LogitsRow[] = [];
      for (let step = 0; step < count; step++) {
        const values = logitsOf(all);
        rows.push({ position: all.length - 1, values });
        all.push(topK(values, 1)[0] ?? 0);
      }
      emit(changes.generated?.(rows) ?? rows, onLogits);
      const greedy = all.slice(ids.length);
      return changes.greedy?.(greedy) ?? greedy;
    },
    async trace(ids, { mode, onTap }) {
      const taps = tapsOf(ids, mode);
      for (const tap of changes.taps?.(taps) ?? taps) {
        const data = tap.data?.slice();
        onTap(data === undefined ? tap : { ...tap, data });
        data?.fill(Number.NaN);
      }
    },
  };
}

export function toyCase(id: string, text: string, mode: EvaluationMode, trace = true): LadderCase {
  return { id, text, parseSpecial: true, ids: tokenizeToy(text), mode, greedyCount: 4, trace };
}

export const TOY_CASES: readonly LadderCase[] = [
  toyCase('p0.batch-all', 'once', 'batch-all'),
  toyCase('p0.sequential', 'once', 'sequential'),
  toyCase('p1.batch-all', 'upon a time', 'batch-all', false),
  toyCase('p1.batch-last', 'upon a time', 'batch-last', false),
];

/** Flips the lowest bit of one value. */
export function flipBit(values: Float32Array, index: number): Float32Array {
  const copy = values.slice();
  new Uint32Array(copy.buffer)[index]! ^= 1;
  return copy;
}
