export type BridgeErrorCode =
  /** Nothing is set or installed that could be the reference. */
  | 'BRIDGE_NOT_FOUND'
  /** A library file is damaged. */
  | 'BRIDGE_DAMAGED_LIBRARY'
  /** What was found is no library for this machine: another format, class, architecture or C library. */
  | 'BRIDGE_BAD_LIBRARY'
  /** The library lacks functions that the bridge calls. */
  | 'BRIDGE_MISSING_SYMBOL'
  /** A C header that the header reader cannot read. */
  | 'BRIDGE_BAD_HEADER'
  /** No struct layout is known for the library: no headers beside it and no baked table for its release. */
  | 'BRIDGE_NO_LAYOUT'
  /** The library's own answers contradict the struct layout. */
  | 'BRIDGE_ABI_MISMATCH'
  /** The library is not the reference that it was given as. */
  | 'BRIDGE_WRONG_LIBRARY'
  /** The library computes something else than the known answer. */
  | 'BRIDGE_KNOWN_ANSWER'
  /** The child process could not be started. */
  | 'BRIDGE_NOT_STARTED'
  /** The child process was ended by a signal: a failed assertion or a crash in the library. */
  | 'BRIDGE_ABORTED'
  /** The child process exited by itself before it had answered. */
  | 'BRIDGE_EXITED'
  /** The child process did not answer in time and was killed. */
  | 'BRIDGE_TIMED_OUT'
  /** The child process sent something that the protocol does not allow, or that its own digest contradicts. */
  | 'BRIDGE_BAD_MESSAGE'
  /** The library refused: a model that does not load, ids outside of the vocabulary. */
  | 'BRIDGE_REFUSED'
  /** The backend cannot do what was asked: see its capabilities. */
  | 'BRIDGE_UNSUPPORTED'
  /** The backend was disposed. */
  | 'BRIDGE_DISPOSED'
  /** The model has no equivalent in the other format. */
  | 'BRIDGE_UNTRANSLATABLE'
  /** Fetching or building a reference failed. */
  | 'BRIDGE_FETCH_FAILED'
  /** What fetch-cpp recorded cannot be read, or the libraries are not those that it fetched. */
  | 'BRIDGE_BAD_RECORD'
  /** The configuration file cannot be used. */
  | 'BRIDGE_BAD_CONFIG';

/** A C++ reference cannot be used. Match on `code`; `message` is for people and may change. */
export class BridgeError extends Error {
  override readonly name = 'BridgeError';
  readonly code: BridgeErrorCode;
  constructor(code: BridgeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
