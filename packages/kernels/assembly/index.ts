export { attention, storeKeysValues } from './attention';
export { add, exponential, multiplyAdd, reluSquaredGate, siluGate } from './elementwise';
export { f16Gemm, f16Gemv, findNonFiniteF16, roundToF16, widenF16 } from './f16-matmul';
export { i2sGemm, i2sGemv, packRowPairs } from './i2s';
export { i2sGemmWide, i2sGemvWide } from './i2s-wide';
export { quantizeRows, quantizeRowsTl1 } from './quantize';
export { rmsNorm } from './rms-norm';
export { ropeNeox, ropeRatio, ropeTable } from './rope';
export { tl1Gemv, tl1ToRowPairs, tl1ToTiles } from './tl1';
