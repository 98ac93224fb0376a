export type { Kernels, Lanes, Pointer } from './contract.ts';
export { KernelError, type KernelErrorCode } from './errors.ts';
export { I2S_LAYOUTS, type I2sLayout, packRowPairs } from './layouts.ts';
export { KERNEL_VARIANTS, type KernelVariant, loadKernels, type WasmKernels } from './load.ts';
export { KernelMemory } from './memory.ts';
