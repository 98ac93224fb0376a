export { checkModel, type CheckModelOptions, type MemoryBytes, type ModelCheck } from './check.ts';
export type { CompletionOptions, End, Piece } from './complete.ts';
export type { Architecture, ModelConfig } from './config.ts';
export {
  argmax,
  type Decoder,
  EVALUATION_MODES,
  type EvaluationMode,
  generate,
  type GenerateOptions,
  prefill,
  type Sampler,
} from './decode.ts';
export { EngineError, type EngineErrorCode, type ModelProblem } from './errors.ts';
export { matchesGlob } from './glob.ts';
export { logProbabilities, logSumExp, type TokenLogProbability } from './log-probabilities.ts';
export {
  type CreateSessionOptions,
  type ExactHeadOptions,
  loadModel,
  type LoadModelOptions,
  Model,
  NUMERICS,
  type Numerics,
  type ScreenedHeadOptions,
} from './model.ts';
export { KV_TYPES, type KvType, type SessionBytes } from './run-state.ts';
export { createSampler, type SamplerOptions } from './sampling.ts';
export { HEAD_KINDS, type HeadKind } from './screened-head.ts';
export { type EvaluateOptions, type NotFinite, type ScreenedSession, Session } from './session.ts';
export type { TextCodec } from './text-codec.ts';
export { TL1_KERNELS, type Tl1Kernel, type Tl1Tilings } from './tl1.ts';
export type { Logits, TopLogits } from './top-logits.ts';
export type { FeedTap, OnTap, Tap } from './trace.ts';
export type { LoadProgress } from './weights.ts';
export { I2S_LAYOUTS, type I2sLayout, type KernelChoice, type KernelCounter, type Tl1Tiling } from '@bittern/kernels';
