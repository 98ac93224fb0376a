export {
  add, attention, exponential, f16Gemm, f16Gemv, findNonFiniteF16, i2sGemm, i2sGemmWide, i2sGemv, i2sGemvWide, multiplyAdd,
  packRowPairs, quantizeRows, quantizeRowsTl1, reluSquaredGate, rmsNorm, ropeNeox, ropeTable, roundToF16, siluGate,
  storeKeysValues, tl1Gemv, tl1ToRowPairs, tl1ToTiles, widenF16,
} from './counted';
export { timeCalls, useCounters } from './counters';
export { ropeRatio } from './rope';
