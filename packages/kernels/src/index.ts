export {
  attentionF32ScratchBytes,
  attentionScratchBytes,
  i2sScratchBytes,
  type Kernels,
  type Lanes,
  type Pointer,
} from './contract.ts';
export { screenFineRowBytes, type ScreenKernels, screenRowBytes, screenValuesBytes } from './contract-screen.ts';
export { type KernelCounter, sumOfCounters } from './counters.ts';
export { KernelError, type KernelErrorCode } from './errors.ts';
export type { KernelChoice, TriedKernel } from './i2s-choice.ts';
export { I2S_LAYOUTS, type I2sLayout, type Tl1Tiling } from './layouts.ts';
export {
  KERNEL_VARIANTS,
  kernelBinary,
  type KernelVariant,
  loadKernels,
  type LoadKernelsOptions,
  type WasmKernels,
} from './load.ts';
export { KernelMemory } from './memory.ts';
export type { KernelWeightType } from './operations.ts';
export { KERNEL_REGISTRY, type KernelInfo } from './registry.ts';
export { v8FlagsSet } from './revectorize.ts';
