/** An array of a NumPy `.npy` file. */
export interface NpyArray {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/**
 * Reads a `.npy` file of little-endian f32 values in C order, versions 1 to 3.
 * Source: numpy/lib/format.py (magic, version, header length, a Python dictionary as text, data).
 */
export function readNpy(bytes: Uint8Array, name: string): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || bytes[0] !== 0x93 || new TextDecoder().decode(bytes.subarray(1, 6)) !== 'NUMPY') {
    throw new Error(`${name} is not a .npy file.`);
  }
  const wide = bytes[6] !== 1;
  const headerStart = wide ? 12 : 10;
  const dataStart = headerStart + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(headerStart, dataStart));
  const shapeText = /'shape': \(([\d, ]*)\)/.exec(header)?.[1];
  if (!header.includes("'descr': '<f4'") || !header.includes("'fortran_order': False") || shapeText === undefined) {
    throw new Error(`${name} is not little-endian f32 in C order: ${header.trim()}`);
  }
  const shape = shapeText.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]));
  const count = shape.reduce((product, size) => product * size, 1);
  if (bytes.length - dataStart !== count * 4) {
    throw new Error(
      `${name} has ${bytes.length - dataStart} bytes of data, its shape [${shape.join(', ')}] needs ${count * 4}.`,
    );
  }
  return { shape, values: new Float32Array(new Uint8Array(bytes.subarray(dataStart)).buffer) };
}
