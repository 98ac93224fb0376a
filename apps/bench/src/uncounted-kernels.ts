import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { KernelChoice, KernelVariant, WasmKernels } from '@bittern/kernels';
import { BenchError } from './errors.ts';

const PACKAGE = dirname(fileURLToPath(import.meta.resolve('@bittern/kernels/package.json')));

/** What is taken out of assembly/counters.ts: with these bodies, nothing is left to do. */
const EMPTY: readonly (readonly [signature: string, body: string])[] = [
  ['export function started(): f64', 'return 0;'],
  ['export function tally(operation: i32, start: f64, rows: i32, elements: u64, bytes: u64, callBytes: u64): void', ''],
];

/** Times that kernels are loaded until those for ternary products are the same: what is equally fast is chosen by noise. */
const MOST_CHOICES = 10;

/**
 * The package's kernels, built once more from their sources in a folder of their own, without counting. They are the same
 * otherwise.
 */
export class UncountedKernels implements AsyncDisposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws {BenchError} where the sources are not those that this knows */
  static async build(variant: KernelVariant, threads: number): Promise<UncountedKernels> {
    const built = new UncountedKernels(await mkdtemp(join(tmpdir(), 'bittern-uncounted-')));
    try {
      await built.#build(`${variant}${threads > 1 ? '-threads' : ''}`, threads > 1 ? 'threads' : 'index');
      return built;
    } catch (error) {
      await built[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** @throws {BenchError} if they choose others than `wanted` */
  async load(variant: KernelVariant, threads: number, wanted: KernelChoice): Promise<WasmKernels> {
    const index = pathToFileURL(join(this.#folder, 'dist/index.js')).href;
    for (let attempt = 0; attempt < MOST_CHOICES; attempt++) {
      // A module chooses once.
      const { loadKernels } = (await import(`${index}?${attempt}`)) as typeof import('@bittern/kernels');
      const kernels = await loadKernels({ variant, threads, revectorize: true });
      const { gemv, gemm } = kernels.choice;
      if (gemv === wanted.gemv && gemm === wanted.gemm) return kernels;
      kernels.dispose();
    }
    throw new BenchError(
      `Without counting, other kernels are chosen than ${wanted.gemv} and ${wanted.gemm}. Try again on a quieter machine.`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  async #build(target: string, entry: 'index' | 'threads'): Promise<void> {
    const parts = ['assembly', 'asconfig.json', 'dist', 'package.json', 'wasm', 'worker'];
    for (const part of parts) await cp(join(PACKAGE, part), join(this.#folder, part), { recursive: true });
    const counters = join(this.#folder, 'assembly/counters.ts');
    await writeFile(counters, withoutCounting(await readFile(counters, 'utf8')));
    const asc = createRequire(join(PACKAGE, 'package.json')).resolve('assemblyscript/bin/asc.js');
    const argv = [asc, `assembly/${entry}.ts`, '--target', target];
    await promisify(execFile)(process.execPath, argv, { cwd: this.#folder });
  }
}

function withoutCounting(source: string): string {
  return EMPTY.reduce((text, [signature, body]) => {
    const begin = text.indexOf(`${signature} {`);
    const end = text.indexOf('\n}\n', begin);
    if (begin < 0 || end < 0) throw new BenchError(`The kernels' counters.ts has no "${signature}" any more.`);
    return `${text.slice(0, begin)}${signature} {\n  ${body}${text.slice(end)}`;
  }, source);
}
