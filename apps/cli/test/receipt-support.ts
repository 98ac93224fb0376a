import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type KernelVariant, loadKernels } from '@bittern/kernels';
import { type GateResult, PREDICATE_TYPE, readReceipt, type ReceiptPredicate } from '@bittern/receipts';
import { expect, vi } from 'vitest';
import { bittern, temporaryFolder } from './support.ts';

/** Small and fast; nothing in these tests is about how fast. */
export const QUICK: readonly string[] = ['-n', '4', '--repeats', '2', '--buffer', '16', '-p', 'Once upon a time'];

/** A receipt in a folder of its own. */
export async function receiptOf(argv: readonly string[]): Promise<string> {
  const path = join(await temporaryFolder(), 'receipt.json');
  const { code, stderr } = await bittern(['benchmark', ...QUICK, '--receipt', path, ...argv]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return path;
}

export async function predicateOf(path: string): Promise<ReceiptPredicate> {
  return benchmarkIn(await readFile(path));
}

export function benchmarkIn(bytes: Uint8Array): ReceiptPredicate {
  const { statement } = readReceipt(bytes);
  if (statement.predicateType !== PREDICATE_TYPE) throw new Error('not of a benchmark');
  return statement.predicate;
}

export interface Verified {
  readonly code: number;
  readonly gates: Readonly<Record<string, string>>;
  readonly failed: readonly string[];
  readonly reasons: Readonly<Record<string, string>>;
}

export async function verify(path: string, ...argv: string[]): Promise<Verified> {
  const { code, stdout } = await bittern(['verify-receipt', path, '--format', 'json', ...argv]);
  const { gates }: { gates: GateResult[] } = JSON.parse(stdout);
  return {
    code,
    gates: Object.fromEntries(gates.map(({ gate, status }) => [gate, status])),
    failed: gates.filter(({ status }) => status === 'fail').map(({ gate }) => gate),
    reasons: Object.fromEntries(gates.map(({ gate, reason }) => [gate, reason])),
  };
}

/** Without the model, and with it, run again on the kernels of the other binary: results do not depend on them. */
export async function expectBelieved(path: string, model: string, ...argv: string[]): Promise<void> {
  const { code, failed, reasons } = await verify(path);
  expect({ code, failed: failed.map((gate) => reasons[gate]) }).toEqual({ code: 0, failed: [] });
  const { kernels } = await predicateOf(path);
  const other = kernels.variant === 'relaxed' ? 'simd128' : 'relaxed';
  const replayed = await verify(path, '-m', model, '--replay', '4', '--kernels', other, ...argv);
  expect(replayed).toMatchObject({ code: 0, failed: [], gates: { model: 'pass', replay: 'pass', binaries: 'pass' } });
}

/** In the order in which they are tried. `wide` is where V8 has its revectorizer. */
type Form = 'plain' | 'i16' | 'wide';

/**
 * Makes this process choose kernels for ternary products that it might not choose by itself, by a clock by which they are
 * the fastest. What a process has chosen it keeps: once for each binary and number of threads, one or several.
 *
 * @returns ids of those that were wanted, of the plain ones where there are no wide ones
 */
export async function chooseKernels(
  variant: KernelVariant,
  threads: 1 | 2,
  wanted: { readonly gemv: Form; readonly gemm: Form },
): Promise<{ readonly gemv: string; readonly gemm: string }> {
  const hasWide = variant === 'relaxed' && Number(process.versions.node.split('.')[0]) >= 24 && process.arch === 'x64';
  const forms: readonly Form[] = hasWide ? ['plain', 'i16', 'wide'] : ['plain', 'i16'];
  const rounds = 24;
  let now = 0;
  let readings = 0;
  // A reading before each call and one after; all rounds of gemv come first.
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    const call = Math.floor(readings / 2);
    const fastest = call < rounds * forms.length ? wanted.gemv : wanted.gemm;
    if (readings++ % 2 === 1) now += forms[call % forms.length] === fastest ? 1 : 2;
    return now;
  });
  try {
    const kernels = await loadKernels({ variant, threads, revectorize: true });
    const { gemv, gemm } = kernels.choice;
    kernels.dispose();
    const suffix = (form: Form): string => (form === 'plain' || !forms.includes(form) ? '' : `_${form}`);
    const ids = {
      gemv: `i2s_gemv_${variant}${suffix(wanted.gemv)}`,
      gemm: `i2s_gemm_${variant}${suffix(wanted.gemm)}`,
    };
    expect({ gemv, gemm }).toEqual(ids);
    return ids;
  } finally {
    clock.mockRestore();
  }
}
