/**
 * Compares the kernels for llama.cpp's tensor types with a ggml from npm, called directly, and prints how many values
 * differ in any bit (docs/numerics.md, section 11):
 *
 *     mkdir /tmp/ggml && cd /tmp/ggml && npm init -y && npm i @node-llama-cpp/linux-x64@3.22.1 koffi@3.3.4
 *     node src/compare-ggml.ts /tmp/ggml
 *
 * Not a test: it needs those packages, and a ggml of 2026 and GCC has other orders for some types than the one of 2024
 * and clang that the kernels follow. For these, the order that is expected of it is computed here, in plain f64.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Lanes, loadKernels, type Pointer, type WasmKernels } from '@bittern/kernels';

const ROWS = 64;
const COLUMNS = 2560;
const COUNT = 8;

type Native = (...args: readonly (number | Uint8Array | Float32Array | null)[]) => unknown;
interface Koffi {
  load(path: string): { func(signature: string): Native };
}
interface BlockType {
  readonly name: string;
  readonly id: number;
  readonly columns: number;
  readonly bytes: number;
  readonly dot: string;
}

const BLOCK_TYPES: readonly BlockType[] = [
  { name: 'Q8_0', id: 8, columns: 32, bytes: 34, dot: 'ggml_vec_dot_q8_0_q8_0' },
  { name: 'Q4_0', id: 2, columns: 32, bytes: 18, dot: 'ggml_vec_dot_q4_0_q8_0' },
  { name: 'Q6_K', id: 14, columns: 256, bytes: 210, dot: 'ggml_vec_dot_q6_K_q8_K' },
  { name: 'TQ1_0', id: 34, columns: 256, bytes: 54, dot: 'ggml_vec_dot_tq1_0_q8_K' },
  { name: 'TQ2_0', id: 35, columns: 256, bytes: 66, dot: 'ggml_vec_dot_tq2_0_q8_K' },
];

/** Builds of ggml, and the vector width that each stands for. */
const LIBRARIES: readonly (readonly [name: string, lanes: Lanes])[] = [
  ['haswell', 8],
  ['skylakex', 16],
  ['zen4', 16],
];

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Give the folder in which the two packages are installed.');
const koffi = createRequire(join(folder, 'package.json'))('koffi') as Koffi;
const binaries = join(folder, 'node_modules/@node-llama-cpp/linux-x64/bins/linux-x64');
const base = koffi.load(join(binaries, 'libggml-base.so'));
const quantize = base.func(
  'size_t ggml_quantize_chunk(int type, void* src, void* dst, int64_t start, int64_t nrows, int64_t n_per_row, void* imatrix)',
);
const prepareQuantization = base.func('void ggml_quantize_init(int type)');
const toF16 = base.func('void ggml_fp32_to_fp16_row(void* x, void* y, int64_t n)');
const toBf16 = base.func('void ggml_fp32_to_bf16_row_ref(void* x, void* y, int64_t n)');

const kernels = await loadKernels();
const { memory } = kernels;
let state = 1;
const activations = Float32Array.from({ length: COUNT * COLUMNS }, () => bell() * (uniform() < 0.02 ? 30 : 1));
const weights = Float32Array.from({ length: ROWS * COLUMNS }, () => bell() / 20);
const ternary = weights.map((w) => Math.sign(Math.round(20 * w)) * 0.031);
const x = place(activations);

for (const [library, lanes] of LIBRARIES) {
  const ggml = koffi.load(join(binaries, `libggml-cpu-${library}.so`));
  ggml.func('void ggml_cpu_init()')();
  const vecDot = (name: string): ((a: Uint8Array, b: Uint8Array, n: number) => number) => {
    const native = ggml.func(
      `void ${name}(int n, void* s, size_t bs, void* vx, size_t bx, void* vy, size_t by, int nrc)`,
    );
    return (a, b, n) => {
      const result = new Float32Array(1);
      native(n, result, 0, a, 0, b, 0, 1);
      return result[0]!;
    };
  };
  const report = (what: string, differing: number, of: number): void =>
    console.log(`${library} ${what}: ${differing} of ${of} differ`);

  const rows = { q80: quantizedQ8_0(), q8K: quantizedQ8K() };
  const native = {
    q80: new Uint8Array((activations.length / 32) * 34),
    q8K: new Uint8Array((activations.length / 256) * 292),
  };
  ggml.func('void quantize_row_q8_0(void* x, void* y, int64_t k)')(activations, native.q80, activations.length);
  ggml.func('void quantize_row_q8_K(void* x, void* y, int64_t k)')(activations, native.q8K, activations.length);
  report('quantization to Q8_0', differingQ8_0(native.q80, rows.q80), activations.length);
  report('quantization to Q8_K', differingQ8K(native.q8K, rows.q8K), activations.length);

  for (const type of BLOCK_TYPES) {
    const { name, columns, bytes } = type;
    const isTernary = name.startsWith('TQ');
    const matrix = new Uint8Array(((ROWS * COLUMNS) / columns) * bytes);
    prepareQuantization(type.id);
    quantize(type.id, isTernary ? ternary : weights, matrix, 0, ROWS, COLUMNS, null);
    if (isTernary) spoil(matrix, type);
    const data = place(matrix);
    const decoded = name === 'TQ1_0' ? memory.allocate(((ROWS * COLUMNS) / 256) * 66) : data;
    if (name === 'TQ1_0') kernels.tq1_0ToTq2_0(data, ROWS * COLUMNS, decoded);
    const out = memory.allocate(4 * COUNT * ROWS);
    const { values, scales, sums } = columns === 32 ? rows.q80 : rows.q8K;
    if (isTernary) kernels.tq2_0Gemm(decoded, 0, ROWS, COLUMNS, values, scales, sums, COUNT, out, ROWS);
    else {
      const product = { Q8_0: kernels.q8_0Gemm, Q4_0: kernels.q4_0Gemm, Q6_K: kernels.q6KGemm }[name]!;
      product(decoded, 0, ROWS, COLUMNS, values, scales, COUNT, out, ROWS);
    }
    const dot = vecDot(type.dot);
    const quantized = columns === 32 ? native.q80 : native.q8K;
    let differing = 0;
    let differingOf2026 = 0;
    for (let index = 0; index < COUNT; index++) {
      for (let row = 0; row < ROWS; row++) {
        const expected = dot(slice(matrix, row, ROWS), slice(quantized, index, COUNT), COLUMNS);
        if (!Object.is(expected, memory.f32(out + 4 * (index * ROWS + row), 1)[0])) differing++;
        if (columns === 256 && !Object.is(expected, dotOf2026(kernels, decoded, isTernary, row, rows.q8K, index))) {
          differingOf2026++;
        }
      }
    }
    report(name, differing, COUNT * ROWS);
    if (columns === 256) report(`${name} in the order of 2026 and GCC`, differingOf2026, COUNT * ROWS);
  }

  const out = memory.allocate(4 * ROWS);
  const matrix = place(weights);
  const compareRows = (what: string, expected: (row: number) => number): void => {
    const got = memory.f32(out, ROWS);
    report(what, Array.from(got).filter((value, row) => !Object.is(value, expected(row))).length, ROWS);
  };
  for (const columns of [COLUMNS, 288]) {
    kernels.f32Gemv(matrix, 0, ROWS, columns, x, out, lanes);
    const dot = vecDot('ggml_vec_dot_f32');
    const row = (i: number): Uint8Array => new Uint8Array(weights.buffer, 4 * i * columns, 4 * columns);
    compareRows(`F32, ${columns} columns`, (i) => dot(row(i), new Uint8Array(activations.buffer), columns));
  }
  const halves = { weights: new Uint8Array(2 * ROWS * COLUMNS), x: new Uint8Array(2 * COLUMNS) };
  const rounded = memory.allocate(4 * COLUMNS);
  const scratch = memory.allocate(4 * COLUMNS);
  toBf16(weights, halves.weights, ROWS * COLUMNS);
  toBf16(activations, halves.x, COLUMNS);
  kernels.roundToBf16(x, COLUMNS, rounded);
  kernels.bf16Gemm(place(halves.weights), 0, ROWS, COLUMNS, rounded, 1, out, ROWS, lanes);
  const dotBf16 = vecDot('ggml_vec_dot_bf16');
  compareRows('BF16', (i) => dotBf16(slice(halves.weights, i, ROWS), halves.x, COLUMNS));
  toF16(weights, halves.weights, ROWS * COLUMNS);
  toF16(activations, halves.x, COLUMNS);
  kernels.roundToF16(x, COLUMNS, rounded);
  kernels.f16Gemv(place(halves.weights), 0, ROWS, COLUMNS, COLUMNS, rounded, out, lanes, scratch);
  const dotF16 = vecDot('ggml_vec_dot_f16');
  compareRows('F16', (i) => dotF16(slice(halves.weights, i, ROWS), halves.x, COLUMNS));
}

/** 0 up to 1 (mulberry32). */
function uniform(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

/** About normal. */
function bell(): number {
  return Array.from({ length: 12 }, uniform).reduce((sum, value) => sum + value, -6);
}

function place(data: Float32Array | Uint8Array): Pointer {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const pointer = memory.allocate(bytes.length);
  memory.bytes(pointer, bytes.length).set(bytes);
  return pointer;
}

/** Part `index` of `count` equal ones. */
function slice(bytes: Uint8Array, index: number, count: number): Uint8Array {
  const length = bytes.length / count;
  return bytes.subarray(index * length, (index + 1) * length);
}

/** Other scales from block to block; and bytes in TQ1_0 that no quantizer writes. */
function spoil(matrix: Uint8Array, { name, bytes }: BlockType): void {
  for (let at = 0; at < matrix.length; at += bytes) {
    const bits = 0x2400 + Math.floor(2048 * uniform());
    matrix.set([bits & 0xff, bits >> 8], at + bytes - 2);
    if (name !== 'TQ1_0') continue;
    for (let i = 0; i < 52; i++) if (uniform() < 0.5) matrix[at + i] = Math.floor(256 * uniform());
  }
}

interface Quantized {
  readonly values: Pointer;
  readonly scales: Pointer;
  readonly sums: Pointer;
}

function quantizedQ8_0(): Quantized {
  const [values, scales] = [memory.allocate(activations.length), memory.allocate(activations.length / 8)];
  kernels.quantizeRowsQ8_0(x, 0, COUNT, COLUMNS, values, scales);
  return { values, scales, sums: 0 };
}

function quantizedQ8K(): Quantized {
  const [values, scales] = [memory.allocate(activations.length), memory.allocate(activations.length / 64)];
  const sums = memory.allocate(activations.length / 8);
  kernels.quantizeRowsQ8K(x, 0, COUNT, COLUMNS, values, scales, sums);
  return { values, scales, sums };
}

function differingQ8_0(blocks: Uint8Array, { values, scales }: Quantized): number {
  const view = new DataView(blocks.buffer);
  let differing = 0;
  for (let b = 0; b < blocks.length / 34; b++) {
    if (half(view.getUint16(34 * b, true)) !== memory.f32(scales + 4 * b, 1)[0]) differing++;
    const own = memory.i8(values + 32 * b, 32);
    for (let i = 0; i < 32; i++) if (view.getInt8(34 * b + 2 + i) !== own[i]) differing++;
  }
  return differing;
}

function differingQ8K(blocks: Uint8Array, { values, scales, sums }: Quantized): number {
  const view = new DataView(blocks.buffer);
  let differing = 0;
  for (let b = 0; b < blocks.length / 292; b++) {
    if (view.getFloat32(292 * b, true) !== memory.f32(scales + 4 * b, 1)[0]) differing++;
    const own = memory.i8(values + 256 * b, 256);
    for (let i = 0; i < 256; i++) if (view.getInt8(292 * b + 4 + i) !== own[i]) differing++;
    const ownSums = memory.u16(sums + 32 * b, 16);
    for (let i = 0; i < 16; i++) if (view.getUint16(292 * b + 260 + 2 * i, true) !== ownSums[i]) differing++;
  }
  return differing;
}

/** A dot product of 256-blocks as ggml of 2026 has it: fused, Q6_K's 32s subtracted by the sums of sixteen. */
function dotOf2026(
  { memory: m }: WasmKernels,
  matrix: Pointer,
  isTernary: boolean,
  row: number,
  { values, scales }: Quantized,
  index: number,
): number {
  const blocks = COLUMNS / 256;
  const bytes = isTernary ? 66 : 210;
  const lanes = new Float32Array(8);
  for (let b = 0; b < blocks; b++) {
    const block = m.bytes(matrix + (row * blocks + b) * bytes, bytes);
    const own = m.i8(values + index * COLUMNS + 256 * b, 256);
    const sums = Array.from({ length: 8 }, () => 0);
    for (let c = 0; c < 256; c++) {
      const [h, q] = [c >> 7, c & 127];
      const code = isTernary
        ? (block[32 * h + (c & 31)]! >> (2 * (q >> 5))) & 3
        : ((block[64 * h + (q & 63)]! >> (q < 64 ? 0 : 4)) & 15) |
          (((block[128 + 32 * h + (q & 31)]! >> (2 * (q >> 5))) & 3) << 4);
      const scale = isTernary ? 1 : (block[192 + (c >> 4)]! << 24) >> 24;
      sums[(c >> 2) & 7]! += code * own[c]! * scale;
      sums[c >> 5]! -= (isTernary ? 1 : 32) * own[c]! * scale;
    }
    const d = half(block[bytes - 2]! | (block[bytes - 1]! << 8));
    const scale = Math.fround(m.f32(scales + 4 * (index * blocks + b), 1)[0]! * d);
    for (let lane = 0; lane < 8; lane++) lanes[lane] = fused(sums[lane]!, scale, lanes[lane]!);
  }
  const four = [0, 1, 2, 3].map((i) => Math.fround(lanes[i]! + lanes[i + 4]!));
  return Math.fround(Math.fround(four[0]! + four[2]!) + Math.fround(four[1]! + four[3]!));
}

function half(bits: number): number {
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** a * b + c rounded once to f32, for finite values: the f64 sum is rounded to odd first. */
function fused(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  const added = sum - product;
  const error = product - (sum - added) + (c - added);
  if (error === 0 || sum === 0) return Math.fround(sum);
  const number = new DataView(new ArrayBuffer(8));
  number.setFloat64(0, sum);
  const bits = number.getBigInt64(0);
  if ((bits & 1n) === 0n) number.setBigInt64(0, bits + (error > 0 === sum > 0 ? 1n : -1n));
  return Math.fround(number.getFloat64(0));
}
