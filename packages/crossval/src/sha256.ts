/**
 * Lower-case hex SHA-256. The bytes may change once the call has returned its promise: they are copied first,
 * also because Web Crypto refuses views into shared memory, where an engine's logits may lie.
 */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Digest of f32 values as they lie in memory, which is little-endian on every platform that runs WebAssembly. */
export function sha256OfFloats(values: Float32Array): Promise<string> {
  return sha256(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}
