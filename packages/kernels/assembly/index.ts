export {
  add, attention, attentionF32, exponential, f16Gemm, f16Gemv, f16GemvUnscreened, findNonFiniteF16, i2sGemm,
  i2sGemmI16, i2sGemmWide, i2sGemv, i2sGemvI16, i2sGemvWide, multiplyAdd, packRowPairs, packScreen, quantizeForScreen,
  quantizeRows, quantizeRowsTl1, reluSquaredGate, rescoreCandidates, rmsNorm, ropeNeox, ropeTable, roundToF16,
  screenRows, selectCandidates, siluGate, storeKeysValues, storeKeysValuesF32, tl1Gemv, tl1ToRowPairs, tl1ToTiles,
  widenF16,
} from './counted';
export { timeCalls, useCounters } from './counters';
export { ropeRatio } from './rope';
