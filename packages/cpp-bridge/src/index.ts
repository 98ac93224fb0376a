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
