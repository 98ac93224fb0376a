/** Of the whole file. Version 3 allows big-endian; hardly any file is. */
export type ByteOrder = 'little' | 'big';

/** Reverses the bytes of each number of `width` bytes, in place. */
export function swapNumbers(bytes: Uint8Array, width: number): void {
  if (width > 1) {
    for (let at = 0; at < bytes.byteLength; at += width) {
      bytes.subarray(at, at + width).reverse();
    }
  }
}
