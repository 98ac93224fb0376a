let table: Float32Array | undefined;

/** The f16 at `at`, little-endian. From a table of all 65,536 (256 KiB): Node 22 has no DataView.getFloat16. */
export function half(bytes: Uint8Array, at: number): number {
  table ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => halfOfBits(bits));
  return table[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** 1 sign bit, 5 exponent bits with a bias of 15, 10 fraction bits. */
function halfOfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = (bits & 0x3ff) / 1024;
  if (exponent === 0) {
    return sign * fraction * 2 ** -14;
  }
  if (exponent === 31) {
    return fraction === 0 ? sign * Infinity : Number.NaN;
  }
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}
