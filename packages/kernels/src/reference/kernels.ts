import { referenceBlockKernels } from './block-kernels.ts';
import type { Kernels, Lanes, Pointer } from '../contract.ts';
import type { Tl1Tiling } from '../layouts.ts';
import type { KernelMemory } from '../memory.ts';
import { dotBlas, dotF16, dotF32 } from './dot.ts';
import { exp } from './exp.ts';
import { referenceScreen } from './screen.ts';
import { f16Bits, f16Value, fma, roundF16, roundToEven, sumByHalving } from './float.ts';
import { sinCos } from './sin-cos.ts';

const { fround } = Math;

/**
 * The kernels in plain TypeScript: one value at a time, every rounding written out, nothing fast. What the WebAssembly
 * kernels must equal, and where to read what an operation does.
 */
export function referenceKernels(memory: KernelMemory): Kernels {
  const f32 = (pointer: Pointer, length: number): Float32Array => memory.f32(pointer, length);
  /** `width` f16 values as numbers. */
  const f16Row = (pointer: Pointer, width: number): number[] => Array.from(memory.u16(pointer, width), f16Value);

  const ternaryRow = (weights: Pointer, row: number, width: number, values: Int8Array): number => {
    const pair = memory.bytes(weights + ((row & ~1) * width) / 4, width / 2);
    let dot = 0;
    for (let column = 0; column < width; column++) {
      const { byte, shift } = rowPairPlace(row & 1, column);
      dot += ((pair[byte]! >> shift) & 3) * values[column]!;
    }
    return dot;
  };

  const quantize = (
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    width: number,
    floor: number,
    values: Pointer,
    scales: Pointer,
    sums: Pointer,
  ): void => {
    for (let row = rowBegin; row < rowEnd; row++) {
      const source = f32(x + 4 * row * width, width);
      const amax = source.reduce((largest, value) => Math.max(largest, Math.abs(value)), floor);
      const scale = fround(127 / amax);
      const quantized = memory.i8(values + row * width, width);
      // An Int8Array makes 0 of NaN, which is 0 times an infinite scale.
      quantized.set(source.map((value) => Math.min(127, Math.max(-128, roundToEven(fround(value * scale))))));
      f32(scales + 4 * row, 1)[0] = scale;
      memory.i32(sums + 4 * row, 1)[0] = quantized.reduce((sum, value) => sum + value, 0);
    }
  };

  /** @param pair - the elements of a head's pair j */
  const rotate = (
    x: Pointer,
    rowBegin: number,
    rowEnd: number,
    heads: number,
    headDim: number,
    position: number,
    cosines: Pointer,
    sines: Pointer,
    pair: (j: number) => readonly [number, number],
  ): void => {
    const half = headDim / 2;
    for (let row = rowBegin; row < rowEnd; row++) {
      const cosine = f32(cosines + 4 * (position + row) * half, half);
      const sine = f32(sines + 4 * (position + row) * half, half);
      for (let head = 0; head < heads; head++) {
        const values = f32(x + 4 * (row * heads + head) * headDim, headDim);
        for (let j = 0; j < half; j++) {
          const [at, to] = pair(j);
          const first = values[at]!;
          const second = values[to]!;
          values[at] = fma(first, cosine[j]!, -fround(second * sine[j]!));
          values[to] = fma(first, sine[j]!, fround(second * cosine[j]!));
        }
      }
    }
  };

  const kernels: Kernels = {
    ...referenceBlockKernels(memory),
    ...referenceScreen(memory, (...args) => kernels.f16Gemv(...args)),

    packRowPairs(packed, rows, columns, layout, out) {
      const rowBytes = columns / 4;
      const pairs = memory.bytes(out, rows * rowBytes);
      for (let row = 0; row < rows; row++) {
        const source = memory.bytes(packed + row * rowBytes, rowBytes);
        const target = pairs.subarray((row >> 1) * 2 * rowBytes, ((row >> 1) + 1) * 2 * rowBytes);
        for (let column = 0; column < columns; column++) {
          const code = fileCode(source, column, layout);
          if (code === 3) return row;
          const { byte, shift } = rowPairPlace(row & 1, column);
          target[byte] = (target[byte]! & ~(3 << shift)) | (code << shift);
        }
      }
      return -1;
    },

    quantizeRows(x, rowBegin, rowEnd, width, values, scales, sums) {
      quantize(x, rowBegin, rowEnd, width, 1e-5, values, scales, sums);
    },

    quantizeRowsTl1(x, rowBegin, rowEnd, width, values, scales, sums) {
      quantize(x, rowBegin, rowEnd, width, 0, values, scales, sums);
    },

    i2sGemv(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, out, scratch) {
      kernels.i2sGemm(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, 1, out, rowEnd, scratch);
    },

    i2sGemm(weights, rowBegin, rowEnd, width, weightScale, values, scales, sums, count, out, outStride) {
      for (let index = 0; index < count; index++) {
        const row8 = memory.i8(values + index * width, width);
        const scale = f32(scales + 4 * index, 1)[0]!;
        const sum = memory.i32(sums + 4 * index, 1)[0]!;
        const target = f32(out + 4 * index * outStride, rowEnd);
        for (let row = rowBegin; row < rowEnd; row++) {
          const dot = ternaryRow(weights, row, width, row8);
          target[row] = fround(fround(fround(dot - sum) / scale) * fround(weightScale));
        }
      }
    },

    tl1ToRowPairs(packed, rows, columns, tileRows, tileColumns, innerRows, out) {
      const source = memory.bytes(packed, (rows * columns) / 4);
      for (let row = 0; row < rows; row++) {
        const target = memory.bytes(out + ((row & ~1) * columns) / 4, columns / 2);
        for (let pair = 0; pair < columns / 2; pair++) {
          const nibble = tl1Nibble(source, columns, [tileRows, tileColumns, innerRows], row, pair);
          if (nibble > 8) return row;
          for (const [column, code] of [
            [2 * pair, Math.floor(nibble / 3)],
            [2 * pair + 1, nibble % 3],
          ] as const) {
            const { byte, shift } = rowPairPlace(row & 1, column);
            target[byte] = (target[byte]! & ~(3 << shift)) | (code << shift);
          }
        }
      }
      return -1;
    },

    tl1ToTiles(packed, rows, columns, tileRows, tileColumns, innerRows, out) {
      const source = memory.bytes(packed, (rows * columns) / 4);
      const target = memory.bytes(out, (rows * columns) / 4);
      for (let row = 0; row < rows; row++) {
        for (let pair = 0; pair < columns / 2; pair += 2) {
          const [high, low] = [pair, pair + 1].map((p) =>
            tl1Nibble(source, columns, [tileRows, tileColumns, innerRows], row, p),
          ) as [number, number];
          if (high > 8 || low > 8) return row;
          target[tileByte(row, 2 * pair, columns)] = (high << 4) | low;
        }
      }
      return -1;
    },

    tl1Gemv(weights, rowBegin, rowEnd, width, weightScale, values, scales, out) {
      const source = memory.bytes(weights, (rowEnd * width) / 4);
      const row8 = memory.i8(values, width);
      const scale = f32(scales, 1)[0]!;
      for (let row = rowBegin; row < rowEnd; row++) {
        let dot = 0;
        for (let column = 0; column < width; column += 2) {
          const byte = source[tileByte(row, column, width)]!;
          const nibble = column % 4 === 0 ? byte >> 4 : byte & 15;
          dot += (Math.floor(nibble / 3) - 1) * row8[column]! + ((nibble % 3) - 1) * row8[column + 1]!;
        }
        f32(out + 4 * row, 1)[0] = fround(fround(fround(dot) / scale) * fround(weightScale));
      }
    },

    rmsNorm(x, weight, rowBegin, rowEnd, width, epsilon, out, normalized) {
      for (let row = rowBegin; row < rowEnd; row++) {
        const source = f32(x + 4 * row * width, width).slice();
        let sum = 0;
        for (const value of source) sum += fround(value * value);
        const mean = fround(sum / width);
        const factor = fround(1 / fround(Math.sqrt(fround(mean + fround(epsilon)))));
        const scaled = source.map((value) => value * factor);
        if (normalized) f32(normalized + 4 * row * width, width).set(scaled);
        const gamma = f32(weight, width);
        f32(out + 4 * row * width, width).set(scaled.map((value, i) => value * gamma[i]!));
      }
    },

    ropeRatio(base, headDim) {
      return fround(fround(base) ** fround(-2 / headDim));
    },

    ropeTable(positionBegin, positionEnd, headDim, ratio, factors, cosines, sines) {
      const half = headDim / 2;
      for (let position = positionBegin; position < positionEnd; position++) {
        let angle = fround(position);
        for (let j = 0; j < half; j++) {
          const [sine, cosine] = sinCos(factors ? fround(angle / f32(factors, half)[j]!) : angle);
          f32(cosines + 4 * (position * half + j), 1)[0] = cosine;
          f32(sines + 4 * (position * half + j), 1)[0] = sine;
          angle = fround(angle * fround(ratio));
        }
      }
    },

    ropeNeox(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines) {
      rotate(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines, (j) => [j, j + headDim / 2]);
    },

    ropeNorm(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines) {
      rotate(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines, (j) => [2 * j, 2 * j + 1]);
    },

    storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache) {
      for (let row = 0; row < count; row++) {
        for (let head = 0; head < kvHeads; head++) {
          for (let d = 0; d < headDim; d++) {
            const from = 4 * ((row * kvHeads + head) * headDim + d);
            const cell = position + row;
            memory.u16(keyCache + 2 * ((head * cells + cell) * headDim + d), 1)[0] = f16Bits(f32(keys + from, 1)[0]!);
            memory.u16(valueCache + 2 * ((head * headDim + d) * cells + cell), 1)[0] = f16Bits(
              f32(values + from, 1)[0]!,
            );
          }
        }
      }
    },

    attention(
      q,
      headBegin,
      headEnd,
      heads,
      kvHeads,
      headDim,
      count,
      position,
      keyCache,
      valueCache,
      cacheCells,
      cells,
      scale,
      lanes,
      out,
      scores,
      probabilities,
    ) {
      const group = heads / kvHeads;
      for (let head = headBegin; head < headEnd; head++) {
        const kvHead = Math.floor(head / group);
        const keys = Array.from({ length: cells }, (_, cell) =>
          f16Row(keyCache + 2 * (kvHead * cacheCells + cell) * headDim, headDim),
        );
        const values = Array.from({ length: headDim }, (_, d) =>
          f16Row(valueCache + 2 * (kvHead * headDim + d) * cacheCells, cells),
        );
        for (let row = 0; row < count; row++) {
          const offset = 4 * (row * heads + head) * headDim;
          const query = Array.from(f32(q + offset, headDim));
          const rounded = query.map(roundF16);
          const kq = new Float32Array(cells);
          for (const [cell, key] of keys.entries()) {
            // With one query head and several rows the reference does not round q to f16 (section 5.3).
            kq[cell] = heads === 1 && count > 1 ? dotBlas(key, query, lanes) : dotF16(key, rounded, lanes);
          }
          const p = softmax(kq, position + row + 1, scale, lanes);
          const tap = 4 * (head * count + row) * cells;
          if (scores) f32(scores + tap, cells).set(kq);
          if (probabilities) f32(probabilities + tap, cells).set(p);
          const roundedP = Array.from(p, roundF16);
          for (const [d, value] of values.entries()) {
            f32(out + offset + 4 * d, 1)[0] = count === 1 ? dotF16(value, roundedP, lanes) : dotBlas(value, p, lanes);
          }
        }
      }
    },

    storeKeysValuesF32(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache) {
      for (let row = 0; row < count; row++) {
        for (let head = 0; head < kvHeads; head++) {
          const offset = 4 * (row * kvHeads + head) * headDim;
          const cell = position + row;
          f32(keyCache + 4 * (head * cells + cell) * headDim, headDim).set(f32(keys + offset, headDim));
          for (const [d, value] of f32(values + offset, headDim).entries()) {
            f32(valueCache + 4 * ((head * headDim + d) * cells + cell), 1)[0] = value;
          }
        }
      }
    },

    attentionF32(
      q,
      headBegin,
      headEnd,
      heads,
      kvHeads,
      headDim,
      count,
      position,
      keyCache,
      valueCache,
      cacheCells,
      cells,
      scale,
      lanes,
      out,
      scores,
      probabilities,
    ) {
      const group = heads / kvHeads;
      for (let head = headBegin; head < headEnd; head++) {
        const kvHead = Math.floor(head / group);
        for (let row = 0; row < count; row++) {
          const offset = 4 * (row * heads + head) * headDim;
          const query = f32(q + offset, headDim);
          const kq = new Float32Array(cells);
          for (let cell = 0; cell < cells; cell++) {
            const key = f32(keyCache + 4 * (kvHead * cacheCells + cell) * headDim, headDim);
            kq[cell] = heads === 1 && count > 1 ? dotBlas(key, query, lanes) : dotF32(key, query, lanes);
          }
          const p = softmax(kq, position + row + 1, scale, lanes);
          const tap = 4 * (head * count + row) * cells;
          if (scores) f32(scores + tap, cells).set(kq);
          if (probabilities) f32(probabilities + tap, cells).set(p);
          for (let d = 0; d < headDim; d++) {
            const value = f32(valueCache + 4 * (kvHead * headDim + d) * cacheCells, cells);
            f32(out + offset + 4 * d, 1)[0] = count === 1 ? dotF32(value, p, lanes) : dotBlas(value, p, lanes);
          }
        }
      }
    },

    f16Gemv(matrix, rowBegin, rowEnd, width, rowStride, vector, out, lanes) {
      const b = f32(vector, width);
      for (let row = rowBegin; row < rowEnd; row++) {
        f32(out + 4 * row, 1)[0] = dotF16(f16Row(matrix + 2 * row * rowStride, width), b, lanes);
      }
    },

    f16Gemm(matrix, rowBegin, rowEnd, width, rowStride, vectors, vectorStride, count, out, outStride, lanes) {
      for (let row = rowBegin; row < rowEnd; row++) {
        const a = f16Row(matrix + 2 * row * rowStride, width);
        for (let index = 0; index < count; index++) {
          f32(out + 4 * (index * outStride + row), 1)[0] = dotBlas(
            a,
            f32(vectors + 4 * index * vectorStride, width),
            lanes,
          );
        }
      }
    },

    widenF16(source, count, out) {
      f32(out, count).set(f16Row(source, count));
    },

    findNonFiniteF16(source, count) {
      return f16Row(source, count).findIndex((value) => !Number.isFinite(value));
    },

    roundToF16(source, count, out) {
      f32(out, count).set(f32(source, count).map(roundF16));
    },

    add(a, b, count, out) {
      const second = f32(b, count);
      f32(out, count).set(f32(a, count).map((value, i) => value + second[i]!));
    },

    addToRows(x, rowBegin, rowEnd, width, vector) {
      const addend = f32(vector, width);
      for (let row = rowBegin; row < rowEnd; row++) {
        const values = f32(x + 4 * row * width, width);
        values.set(values.map((value, i) => value + addend[i]!));
      }
    },

    multiplyBy(x, count, factor) {
      f32(x, count).set(f32(x, count).map((value) => value * fround(factor)));
    },

    reluSquaredGate(gate, up, count, out, relu, squared) {
      const positive = f32(gate, count).map((value) => (value > 0 ? value : 0));
      const squares = positive.map((value) => value * value);
      const factor = f32(up, count);
      const product = squares.map((value, i) => value * factor[i]!);
      if (relu) f32(relu, count).set(positive);
      if (squared) f32(squared, count).set(squares);
      f32(out, count).set(product);
    },

    siluGate(gate, up, count, lanes, out, silu) {
      const activated = f32(gate, count).map((value) => value / fround(1 + exp(-value, lanes)));
      const factor = f32(up, count);
      const product = activated.map((value, i) => value * factor[i]!);
      if (silu) f32(silu, count).set(activated);
      f32(out, count).set(product);
    },

    exponential(x, count, lanes, out) {
      f32(out, count).set(f32(x, count).map((value) => exp(value, lanes)));
    },

    multiplyAdd(a, b, c, count, out) {
      const second = f32(b, count);
      const third = f32(c, count);
      f32(out, count).set(f32(a, count).map((value, i) => fma(value, second[i]!, third[i]!)));
    },
  };
  return kernels;
}

/** The code of a column in a row of a file. */
function fileCode(row: Uint8Array, column: number, layout: 128 | 64): number {
  const inBlock = column % layout;
  const stride = layout / 4; // bytes of a block
  const byte = row[Math.floor(column / layout) * stride + (inBlock % stride)]!;
  return (byte >> (6 - 2 * Math.floor(inBlock / stride))) & 3;
}

/** Where the row-pair layout has a column of the pair's even (0) or odd (1) row. */
function rowPairPlace(parity: number, column: number): { byte: number; shift: number } {
  const inBlock = column % 128;
  return {
    byte: Math.floor(column / 128) * 64 + parity * 32 + (inBlock % 32),
    shift: 6 - 2 * Math.floor(inBlock / 32),
  };
}

/** The nibble of columns 2 * pair and 2 * pair + 1 in a TL1 file (section 4): 3 * (t0 + 1) + (t1 + 1). */
function tl1Nibble(
  packed: Uint8Array,
  columns: number,
  [tileRows, tileColumns, innerRows]: Tl1Tiling,
  row: number,
  pair: number,
): number {
  const { floor } = Math;
  const innerColumns = 256 / innerRows;
  const inTile = row % tileRows;
  const inInner = inTile % innerRows;
  const pairInTile = pair % (tileColumns / 2);
  const pairInInner = pairInTile % (innerColumns / 2);
  let at = floor(row / tileRows) * (columns / tileColumns) + floor(pair / (tileColumns / 2));
  at = at * (tileRows / innerRows) + floor(inTile / innerRows);
  at = at * (tileColumns / innerColumns) + floor(pairInTile / (innerColumns / 2));
  at = at * (innerRows / 16) + floor(inInner / 16);
  at = at * (innerColumns / 4) + floor(pairInInner / 2);
  const byte = packed[at * 16 + (inInner % 16)]!;
  return pairInInner % 2 === 0 ? byte >> 4 : byte & 15;
}

/** Where the tiles of {@link Kernels.tl1ToTiles} have four columns of a row. */
function tileByte(row: number, column: number, columns: number): number {
  return (Math.floor(row / 32) * (columns / 4) + Math.floor(column / 4)) * 32 + (row % 32);
}

/** Scores [cells] -> probabilities [cells]; cells from `visible` on are masked. */
function softmax(kq: Float32Array, visible: number, scale: number, lanes: Lanes): Float32Array {
  const scaled = kq.map((score, cell) => (cell < visible ? score * fround(scale) : Number.NEGATIVE_INFINITY));
  const largest = scaled.reduce((a, b) => Math.max(a, b));
  const e = scaled.map((score) => exp(fround(score - largest), lanes));
  let total = 0; // f64
  for (let i = 0; i < e.length; i += lanes) total += sumByHalving(e.subarray(i, i + lanes));
  const inverse = fround(1 / total);
  return e.map((value) => value * inverse);
}
