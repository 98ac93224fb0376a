// Tensor types in plain f64: elements packed into bytes and read from them. Written from the description of the formats
// (docs/numerics.md, section 11, and llama.cpp's block structures); shares no code with the packages.

/** Types that a test can write. */
export const TYPES = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q6_K', 'TQ1_0', 'TQ2_0', 'I2_S'] as const;
export type Type = (typeof TYPES)[number];

const { fround } = Math;

/** The nearest number with `bits` of mantissa, ties to even, at least `smallest` apart. */
function rounded(x: number, bits: number, smallest: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const step = Math.max(2 ** (Math.floor(Math.log2(Math.abs(x))) - bits + 1), smallest);
  return even(x / step) * step;
}

/** The nearest whole number, ties to even. */
function even(x: number): number {
  const nearest = Math.round(x);
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : nearest;
}

export function toHalf(x: number): number {
  const value = rounded(x, 11, 2 ** -24);
  return Math.abs(value) > 65_504 ? Math.sign(x) * Infinity : value;
}

function toBrainHalf(x: number): number {
  return rounded(x, 8, 2 ** -133);
}

function halfBits(x: number): number {
  const value = Math.abs(toHalf(x));
  const sign = x < 0 ? 0x8000 : 0;
  if (value < 2 ** -14) return sign | (value * 2 ** 24);
  const exponent = Math.floor(Math.log2(value));
  return sign | ((exponent + 15) << 10) | ((value / 2 ** exponent - 1) * 1024);
}

function halfOf(view: DataView, at: number): number {
  const bits = view.getUint16(at, true);
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** The largest magnitude. */
export function largestOf(values: readonly number[]): number {
  return values.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
}

/** A weight's bit place in TQ2_0: 32 neighbours share bits, four runs of 32 share bytes, lowest bits first. */
function tq2Place(column: number): [byte: number, shift: number] {
  return [32 * Math.floor(column / 128) + (column % 32), 2 * (Math.floor(column / 32) % 4)];
}

/** A weight's byte and digit in TQ1_0: five runs of 32, five of 16, four of 4. */
function tq1Place(column: number): [byte: number, digit: number] {
  if (column < 160) return [column % 32, Math.floor(column / 32)];
  if (column < 240) return [32 + (column % 16), Math.floor((column - 160) / 16)];
  return [48 + (column % 4), Math.floor((column - 240) / 4)];
}

const BLOCKS: Readonly<Record<Exclude<Type, 'I2_S'>, readonly [columns: number, bytes: number]>> = {
  F32: [1, 4],
  F16: [1, 2],
  BF16: [1, 2],
  Q8_0: [32, 34],
  Q4_0: [32, 18],
  Q6_K: [256, 210],
  TQ1_0: [256, 54],
  TQ2_0: [256, 66],
};

/**
 * Elements as a tensor of `type`; of ternary types each element counts by its sign, and the scale is that of the largest.
 *
 * @param values - whole blocks
 */
export function pack(type: Type, values: readonly number[]): Uint8Array {
  if (type === 'I2_S') return packI2s(values);
  const [columns, bytes] = BLOCKS[type];
  const out = new Uint8Array((values.length / columns) * bytes);
  const view = new DataView(out.buffer);
  if (columns === 1) {
    for (let i = 0; i < values.length; i++) packElement(type, values[i]!, view, i * bytes);
    return out;
  }
  for (let i = 0; i < values.length / columns; i++) {
    const block = values.slice(i * columns, (i + 1) * columns);
    packBlock(type, block, view, i * bytes);
  }
  return out;
}

function packElement(type: Type, x: number, view: DataView, at: number): void {
  if (type === 'F32') view.setFloat32(at, x, true);
  else if (type === 'F16') view.setUint16(at, halfBits(x), true);
  else {
    SCRATCH.setFloat32(0, toBrainHalf(x));
    view.setUint16(at, SCRATCH.getUint16(0), true);
  }
}

const SCRATCH = new DataView(new ArrayBuffer(4));

function packBlock(type: Type, block: readonly number[], view: DataView, at: number): void {
  const largest = largestOf(block);
  const set = (offset: number, byte: number): void => view.setUint8(at + offset, byte);
  const or = (offset: number, bits: number): void => set(offset, view.getUint8(at + offset) | bits);
  const limited = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, even(x) || 0));
  switch (type) {
    case 'Q8_0': {
      const d = toHalf(largest / 127);
      view.setUint16(at, halfBits(d), true);
      return block.forEach((x, c) => view.setInt8(at + 2 + c, limited(x / d, -127, 127)));
    }
    case 'Q4_0': {
      const d = toHalf(largest / 7);
      view.setUint16(at, halfBits(d), true);
      return block.forEach((x, c) => or(2 + (c % 16), (limited(x / d, -8, 7) + 8) << (c < 16 ? 0 : 4)));
    }
    case 'Q6_K': {
      const d = toHalf(largest / 31 / 100);
      view.setUint16(at + 208, halfBits(d), true);
      for (let group = 0; group < 16; group++) {
        const inGroup = block.slice(16 * group, 16 * group + 16);
        // Of either sign, as real files have them.
        const sign = group % 3 === 0 ? -1 : 1;
        const scale = sign * Math.max(1, limited(largestOf(inGroup) / 31 / d, 1, 127));
        view.setInt8(at + 192 + group, scale);
        for (const [k, x] of inGroup.entries()) {
          const column = 16 * group + k;
          const code = limited(x / d / scale, -32, 31) + 32;
          const [half, run, place] = [Math.floor(column / 128), Math.floor(column / 32) % 4, column % 32];
          or(64 * half + 32 * (run % 2) + place, (code & 15) << (run < 2 ? 0 : 4));
          or(128 + 32 * half + place, (code >> 4) << (2 * run));
        }
      }
      return;
    }
    case 'TQ2_0': {
      view.setUint16(at + 64, halfBits(largest), true);
      for (const [c, x] of block.entries()) {
        const [byte, shift] = tq2Place(c);
        or(byte, (Math.sign(x) + 1) << shift);
      }
      return;
    }
    case 'TQ1_0': {
      view.setUint16(at + 52, halfBits(largest), true);
      const digits = Array.from({ length: 52 }, () => [0, 0, 0, 0, 0]);
      for (const [c, x] of block.entries()) {
        const [byte, digit] = tq1Place(c);
        digits[byte]![digit] = Math.sign(x) + 1;
      }
      // A fraction of 3^5, rounded up to 256ths, so that multiplying by 3 brings out digit after digit.
      for (const [byte, of] of digits.entries()) {
        set(byte, Math.ceil((of.reduce((number, digit) => 3 * number + digit, 0) * 256) / 243));
      }
      return;
    }
  }
}

function packI2s(values: readonly number[]): Uint8Array {
  const out = new Uint8Array(values.length / 4 + 32);
  for (const [i, x] of values.entries()) {
    out[32 * Math.floor(i / 128) + (i % 32)]! |= (Math.sign(x) + 1) << (6 - 2 * (Math.floor(i / 32) % 4));
  }
  new DataView(out.buffer).setFloat32(values.length / 4, largestOf(values), true);
  return out;
}

/** The elements of a tensor. */
export function unpack(type: string, bytes: Uint8Array, count: number): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float64Array(count);
  if (type === 'I2_S') {
    const scale = view.getFloat32(count / 4, true);
    return out.map((_, i) => {
      const byte = bytes[32 * Math.floor(i / 128) + (i % 32)]!;
      return (((byte >> (6 - 2 * (Math.floor(i / 32) % 4))) & 3) - 1) * scale;
    });
  }
  const [columns, blockBytes] = BLOCKS[type as Exclude<Type, 'I2_S'>];
  return out.map((_, i) => unpackElement(type, view, Math.floor(i / columns) * blockBytes, i % columns));
}

function unpackElement(type: string, view: DataView, at: number, c: number): number {
  switch (type) {
    case 'F32':
      return view.getFloat32(at, true);
    case 'F16':
      return halfOf(view, at);
    case 'BF16':
      SCRATCH.setUint32(0, view.getUint16(at, true) << 16);
      return SCRATCH.getFloat32(0);
    case 'Q8_0':
      return view.getInt8(at + 2 + c) * halfOf(view, at);
    case 'Q4_0':
      return (((view.getUint8(at + 2 + (c % 16)) >> (c < 16 ? 0 : 4)) & 15) - 8) * halfOf(view, at);
    case 'Q6_K': {
      const [half, run, place] = [Math.floor(c / 128), Math.floor(c / 32) % 4, c % 32];
      const low = (view.getUint8(at + 64 * half + 32 * (run % 2) + place) >> (run < 2 ? 0 : 4)) & 15;
      const high = (view.getUint8(at + 128 + 32 * half + place) >> (2 * run)) & 3;
      return (low + 16 * high - 32) * view.getInt8(at + 192 + Math.floor(c / 16)) * halfOf(view, at + 208);
    }
    case 'TQ2_0': {
      const [byte, shift] = tq2Place(c);
      return (((view.getUint8(at + byte) >> shift) & 3) - 1) * halfOf(view, at + 64);
    }
    case 'TQ1_0': {
      const [byte, digit] = tq1Place(c);
      const rest = (view.getUint8(at + byte) * 3 ** digit) % 256;
      return (Math.floor((3 * rest) / 256) - 1) * halfOf(view, at + 52);
    }
    default:
      throw new Error(`no ${type} here`);
  }
}

/**
 * A row of activations as products with a matrix of `type` see it. The scales and products of quantization are f32, as
 * the formats have it; the rest is exact.
 *
 * @param isSingle - whether it is the only row that is evaluated
 */
export function asSeenBy(type: string, row: ArrayLike<number>, isSingle: boolean): number[] {
  const x = Array.from(row);
  switch (type) {
    case 'F32':
      return x;
    case 'F16':
      return isSingle ? x.map(toHalf) : x;
    case 'BF16':
      return x.map(toBrainHalf);
    case 'Q8_0':
    case 'Q4_0':
      return inBlocks(x, 32, (block) => {
        const largest = largestOf(block);
        const inverse = largest === 0 ? 0 : fround(127 / largest);
        const d = toHalf(fround(largest / 127));
        return block.map((value) => even(fround(value * inverse)) * d);
      });
    case 'Q6_K':
    case 'TQ1_0':
    case 'TQ2_0':
      return inBlocks(x, 256, (block) => {
        const largest = block.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
        if (largest === 0) return block;
        const inverse = fround(-127 / largest);
        const d = fround(1 / inverse);
        return block.map((value) => Math.min(127, even(fround(value * inverse))) * d);
      });
    case 'I2_S': {
      const inverse = fround(127 / Math.max(1e-5, largestOf(x)));
      return x.map((value) => Math.min(127, Math.max(-128, even(fround(value * inverse)))) / inverse);
    }
    default:
      throw new Error(`no ${type} here`);
  }
}

function inBlocks(x: readonly number[], length: number, map: (block: number[]) => number[]): number[] {
  return Array.from({ length: x.length / length }, (_, i) => map(x.slice(i * length, (i + 1) * length))).flat();
}
