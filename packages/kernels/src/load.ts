import type { Kernels } from './contract.ts';
import { KernelError } from './errors.ts';
import { KernelMemory } from './memory.ts';

/**
 * - `relaxed`: uses relaxed SIMD; wants an engine that has it and a machine that fuses its multiply-add
 * - `simd128`: plain SIMD128 and an exact emulation of the fused multiply-add; runs everywhere, slower
 *
 * Both give the same bits.
 */
export type KernelVariant = 'relaxed' | 'simd128';

export const KERNEL_VARIANTS: readonly KernelVariant[] = ['relaxed', 'simd128'];

const BINARIES: Readonly<Record<KernelVariant, URL>> = {
  relaxed: new URL('../wasm/relaxed.wasm', import.meta.url),
  simd128: new URL('../wasm/simd128.wasm', import.meta.url),
};

/** Kernels in WebAssembly, and the memory that their pointers point into. */
export interface WasmKernels extends Kernels {
  readonly variant: KernelVariant;
  readonly memory: KernelMemory;
}

/**
 * Compiles and instantiates the kernels over a memory of their own.
 *
 * @param options.variant - default `auto`: `relaxed` where the engine compiles it and the probe finds its
 *   multiply-add fused, else `simd128`. The result names its variant.
 * @throws {KernelError} KERNELS_UNSUPPORTED when the engine lacks SIMD128, or the variant asked for cannot be exact here
 */
export async function loadKernels(options: { variant?: KernelVariant | 'auto' } = {}): Promise<WasmKernels> {
  const { variant = 'auto' } = options;
  if (variant !== 'auto') return instantiate(variant);
  try {
    return await instantiate('relaxed');
  } catch (error) {
    if (!(error instanceof KernelError && error.code === 'KERNELS_UNSUPPORTED')) throw error;
    return instantiate('simd128');
  }
}

async function instantiate(variant: KernelVariant): Promise<WasmKernels> {
  const binary = await readBinary(BINARIES[variant]);
  const memory = new KernelMemory();
  let exports: Kernels;
  try {
    const { instance } = await WebAssembly.instantiate(binary, { env: { memory: memory.memory } });
    exports = instance.exports as unknown as Kernels;
  } catch (cause) {
    if (!(cause instanceof WebAssembly.CompileError)) throw cause;
    const message = `This JavaScript engine cannot compile the ${variant} kernels: ${cause.message}. WebAssembly SIMD is needed (Node 22 or newer, current browsers).`;
    throw new KernelError('KERNELS_UNSUPPORTED', message, { cause });
  }
  const kernels: WasmKernels = { ...exports, variant, memory };
  if (!multiplyAddIsFused(kernels)) {
    throw new KernelError(
      'KERNELS_UNSUPPORTED',
      `The ${variant} kernels round twice in multiply-add on this machine; their results would not be exact. Use "simd128".`,
    );
  }
  return kernels;
}

/** (1 + 2^-12)² - (1 + 2^-11) is 2^-24 when fused and 0 when the product is rounded first. */
function multiplyAddIsFused(kernels: WasmKernels): boolean {
  const pointer = kernels.memory.allocate(64);
  kernels.memory.f32(pointer, 8).set([1 + 2 ** -12, 1 + 2 ** -12, 1 + 2 ** -12, 1 + 2 ** -12], 0);
  kernels.memory.f32(pointer, 8).fill(-(1 + 2 ** -11), 4);
  kernels.multiplyAdd(pointer, pointer, pointer + 16, 4, pointer + 32);
  const fused = kernels.memory.f32(pointer + 32, 4).every((value) => value === 2 ** -24);
  kernels.memory.free(pointer);
  return fused;
}

async function readBinary(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (url.protocol !== 'file:') {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url.href}: HTTP ${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  }
  // Node's fetch has no file: URLs. Asking the process keeps node: imports out of browser bundles.
  const { readFile } = globalThis.process.getBuiltinModule('node:fs/promises');
  return new Uint8Array(await readFile(url));
}
