import { UsageError } from './errors.ts';
import type { Io } from './io.ts';

/**
 * The variables with which parity runs are set up elsewhere, and what they mean here. Options say the same and win.
 * Results depend on none of them but the seed.
 */
export interface Environment {
  /** What `--seed` is by default: BITNET_SEED; 0 if BITNET_DETERMINISTIC is on; otherwise undefined, a random one. */
  readonly seed: number | undefined;
  /** What `--threads` is by default: RAYON_NUM_THREADS, else OMP_NUM_THREADS; 0 there means auto. */
  readonly threads: number | 'auto' | undefined;
  /** Those that are set, as they are. */
  readonly variables: Readonly<Record<string, string>>;
}

const THREAD_VARIABLES = ['RAYON_NUM_THREADS', 'OMP_NUM_THREADS'] as const;
const VARIABLES = ['BITNET_DETERMINISTIC', 'BITNET_SEED', ...THREAD_VARIABLES] as const;

/** More than any machine has would only use up its memory. */
export const MOST_THREADS = 256;

/** @throws {UsageError} for a value that makes no sense */
export function readEnvironment({ env }: Io): Environment {
  const set = VARIABLES.flatMap((name) => {
    const value = env[name];
    return value === undefined || value === '' ? [] : [[name, value] as const];
  });
  const variables: Partial<Record<(typeof VARIABLES)[number], string>> = Object.fromEntries(set);
  const whole = (name: (typeof VARIABLES)[number], most: number): number | undefined => {
    const text = variables[name];
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > most)
      throw new UsageError(
        `The environment variable ${name} is ${JSON.stringify(text)}, not a whole number up to ${most}.`,
      );
    return value;
  };
  const deterministic = variables.BITNET_DETERMINISTIC ?? '0';
  if (!/^(?:0|1|true|false)$/i.test(deterministic))
    throw new UsageError(
      `The environment variable BITNET_DETERMINISTIC is ${JSON.stringify(deterministic)}, not 1 or 0.`,
    );
  const isDeterministic = /^(?:1|true)$/i.test(deterministic);
  const threads = THREAD_VARIABLES.map((name) => whole(name, MOST_THREADS)).find((value) => value !== undefined);
  return {
    seed: whole('BITNET_SEED', 2 ** 32 - 1) ?? (isDeterministic ? 0 : undefined),
    threads: threads === 0 ? 'auto' : threads,
    variables,
  };
}
