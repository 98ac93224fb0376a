import type { EvaluationMode, LadderReport } from '@bittern/crossval';
import { describe, expect, test } from 'vitest';
import { FAULTS } from './faults/faults.ts';
import { climbUnfaulted, climbWith, type Fault, type ModelName, type Unfaulted } from './faults/support.ts';

/** What the ladder says of a fault. */
interface Verdict {
  readonly rung: string | undefined;
  readonly tap: string | null;
  readonly causes: readonly string[];
}

function verdictOf(report: LadderReport): Verdict {
  const first = report.where?.diff.first ?? null;
  return {
    rung: report.rungs.find(({ status }) => status === 'fail')?.rung,
    tap: first === null ? null : `${first.name}#${first.occurrence}`,
    causes: report.why.map(({ id }) => id),
  };
}

const ranks = new Map<string, number>();

describe('each fault fails on its rung, at its operation, by its cause', () => {
  test.each(FAULTS.map((fault) => [fault.name, fault] as const))('%s', async (name, fault: Fault) => {
    const report = await climbWith(fault);
    const { rung, tap, causes } = verdictOf(report);
    const told = JSON.stringify({ failures: report.failures, why: report.why, notes: report.whereNotes }).slice(
      0,
      3000,
    );
    expect({ rung, tap }, `${told}`).toEqual({ rung: fault.rung, tap: fault.tap });
    expect(causes.slice(0, 3), `${told}`).toContain(fault.cause);
    ranks.set(name, causes.indexOf(fault.cause));
    for (const cause of report.why) {
      expect(cause.evidence.length).toBeGreaterThan(0);
      expect(cause.confirm).not.toMatch(/MODEL|TENSOR/);
    }
  });

  test('there are at least 30 faults of all four kinds, and nearly every cause is ranked first', () => {
    expect(FAULTS.length).toBeGreaterThanOrEqual(30);
    for (const kind of ['file', 'kernels', 'session', 'tokenizer'] as const) {
      expect(FAULTS.filter((fault) => fault[kind] !== undefined).length, `${kind}`).toBeGreaterThanOrEqual(4);
    }
    expect(ranks.size).toBe(FAULTS.length);
    const second = [...ranks].filter(([, rank]) => rank !== 0).map(([name]) => name);
    expect(second.length, `${second.join('; ')}`).toBeLessThanOrEqual(Math.floor(FAULTS.length / 10));
  });
});

/** 50 runs over models, modes, threads, kernels, numerics and prompts. */
const UNFAULTED: readonly Unfaulted[] = Array.from({ length: 50 }, (_, run) => {
  const pick = <T>(values: readonly T[], divisor: number): T => values[Math.floor(run / divisor) % values.length]!;
  return {
    model: pick<ModelName>(['tiny-random', 'tiny-random-bitnet'], 1),
    mode: pick<EvaluationMode>(['batch-all', 'sequential', 'batch-last'], 2),
    threads: pick([1, 2, 3], 6),
    kernels: pick(['auto', 'simd128'] as const, 3),
    numerics: pick(['avx512', 'avx2'] as const, 5),
    prompt: pick(
      ['The capital of France is', 'def fib(n):', 'Once upon a time, in a small village', '2', 'Héllo 你好 🙂'],
      1,
    ),
  };
});

test('no false alarm on 50 runs without a fault', async () => {
  expect(new Set(UNFAULTED.map((run) => JSON.stringify(run))).size).toBe(50);
  for (const run of UNFAULTED) {
    const { verdict, failures, why, where } = await climbUnfaulted(run);
    expect({ verdict, failures, why, where }, `${JSON.stringify(run)}`).toEqual({
      verdict: 'pass',
      failures: [],
      why: [],
      where: null,
    });
  }
});
