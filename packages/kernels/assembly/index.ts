export {
  add, addToRows, attention, attentionF32, bf16Gemm, copyF32, exponential, f16Gemm, f16Gemv, f16GemvUnscreened,
  f32Gemm, f32Gemv, findNonFiniteBf16, findNonFiniteF16, findNonFiniteF32, findNonFiniteScale, i2sGemm,
  i2sGemmI16, i2sGemmWide, i2sGemv, i2sGemvI16, i2sGemvWide, multiplyAdd, multiplyBy, packRowPairs, packScreen,
  q4_0Gemm, q6KGemm, q8_0Gemm, quantizeForScreen, quantizeRows, quantizeRowsQ8_0, quantizeRowsQ8K,
  quantizeRowsTl1, refineRows, reluSquaredGate, rescoreCandidates, rmsNorm, ropeNeox, ropeNorm, ropeTable, roundToBf16,
  roundToF16, screenRows, selectCandidates, selectLargest, siluGate, storeKeysValues, storeKeysValuesF32, tl1Gemv,
  tl1ToRowPairs, tl1ToTiles, tq1_0ToTq2_0, tq2_0Gemm, widenBf16, widenF16, widenQ4_0, widenQ6K, widenQ8_0,
  widenTq2_0,
} from './counted';
export { pauseClock, timeCalls, useCounters } from './counters';
export { ropeRatio } from './rope';
