export {
  ABI_STRUCTS,
  type AbiField,
  type AbiLayouts,
  type AbiScalar,
  type AbiStruct,
  type AbiStructName,
} from './abi-layouts.ts';
export { FOLDER_VARIABLE } from './config-file.ts';
export { BridgeError, type BridgeErrorCode } from './errors.ts';
export { bitnetFolder, type BitnetSource, fetchBitnet } from './fetch/bitnet.ts';
export { fetchLlama, type FetchOptions } from './fetch/llama.ts';
export type { FetchRecord } from './fetch/record.ts';
export { removeFetched } from './fetch/remove.ts';
export { findReference } from './find-reference.ts';
export type { InspectedFile, Inspection, InspectOptions } from './inspect.ts';
export { type ApiGeneration, compilerWarning, type LibraryBackend, type ReferenceLibrary } from './library.ts';
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
export { NPM_PACKAGE, NPM_VERSION } from './npm-library.ts';
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
export type { Environment } from './paths.ts';
export { configuredPlace, fetchedLlamaFolder, type Place } from './places.ts';
export {
  preflight,
  preflightAt,
  type PreflightOptions,
  type PreflightReport,
  type PreflightStatus,
} from './preflight.ts';
export { type RunOptions, type RunResult, runReference } from './run-reference.ts';
export { type Exports, exportsFor, exportStatements, type UsableReference } from './setup/exports.ts';
export { findUsable, type Search } from './setup/find-usable.ts';
export { exportStatement, type Shell, SHELLS } from './setup/quote.ts';
