/**
 * What a header may cost before it is refused with GGUF_LIMIT_EXCEEDED and the limit's name in `limit`. Every count in a file is checked against the bytes that are left
 * as well, so a small file never allocates much, whatever it promises; these bound what a large one may.
 */
export interface GgufLimits {
  /** Bytes from the start of the file to the end of the tensor table. */
  readonly headerBytes: number;
  /** Bytes of one key. */
  readonly keyBytes: number;
  /** Bytes of one string value or string element. */
  readonly stringBytes: number;
  /** Elements of one array. */
  readonly arrayLength: number;
  /** Arrays in the file, nested ones included: an empty one takes 12 bytes there and over 100 in memory. */
  readonly arrays: number;
  /** Levels of arrays in one value; 1 is an array of scalars. */
  readonly arrayDepth: number;
  /** Metadata entries. */
  readonly metadataEntries: number;
  /** Tensors. */
  readonly tensors: number;
  /** Bytes of one tensor name. */
  readonly tensorNameBytes: number;
  /** Dimensions of one tensor. */
  readonly dimensions: number;
  /** Files that a split model may have. */
  readonly splitFiles: number;
}

/** For scale: the 2B4T model has an 8 MB header, 24 entries, 332 tensors and an array of 280,147 strings. */
export const defaultLimits: GgufLimits = {
  headerBytes: 128 * 2 ** 20,
  keyBytes: 65_535, // the GGUF specification's maximum
  stringBytes: 8 * 2 ** 20,
  arrayLength: 4_194_304,
  arrays: 65_536,
  arrayDepth: 4,
  metadataEntries: 65_536,
  tensors: 65_536,
  tensorNameBytes: 64, // the GGUF specification's maximum
  dimensions: 4, // ggml's maximum
  splitFiles: 1_024,
};

/**
 * Defaults with the caller's limits over them.
 *
 * @throws TypeError for a name that is no limit; RangeError for a limit that is not an integer >= 0 or Infinity
 */
export function resolveLimits(overrides: Partial<GgufLimits> = {}): GgufLimits {
  for (const [name, limit] of Object.entries(overrides)) {
    if (!Object.hasOwn(defaultLimits, name)) {
      throw new TypeError(`Unknown limit "${name}". Known: ${Object.keys(defaultLimits).join(', ')}.`);
    }
    if (!((Number.isSafeInteger(limit) && limit >= 0) || limit === Infinity)) {
      throw new RangeError(`Limit "${name}" is ${limit}; it must be an integer >= 0, or Infinity for none.`);
    }
  }
  return { ...defaultLimits, ...overrides };
}
