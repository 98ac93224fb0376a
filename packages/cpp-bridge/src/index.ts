export {
  ABI_STRUCTS,
  type AbiField,
  type AbiLayouts,
  type AbiScalar,
  type AbiStruct,
  type AbiStructName,
} from './abi-layouts.ts';
export { BridgeError, type BridgeErrorCode } from './errors.ts';
export type { ApiGeneration, LibraryBackend, ReferenceLibrary } from './library.ts';
export type {
  Backend,
  BackendCapabilities,
  BackendInfo,
  BackendNode,
  BackendRow,
  LibraryFile,
  SignalOption,
  TraceOptions,
} from './backend.ts';
export { openBitnet, type OpenBitnetOptions, numericsOf } from './backends/bitnet.ts';
export { openLlama, type OpenLlamaOptions } from './backends/llama.ts';
export type { GraphHooks } from './hooks.ts';
export { DEFAULT_CPU_VARIANT, NPM_PACKAGE, NPM_VERSION, npmLibrary } from './npm-library.ts';
export type { OpenBackendOptions } from './open-backend.ts';
export type { CacheType, ContextSettings, EvaluationMode, LibraryVersion, NodeKey, NodeValues } from './protocol.ts';
export type { I2sPacking } from './translate/ternary-decode.ts';
export type { TernaryTarget } from './translate/ternary-encode.ts';
export {
  translateBitnet,
  translateBitnetFile,
  type TranslateOptions,
  type Translation,
} from './translate/translate-bitnet.ts';
