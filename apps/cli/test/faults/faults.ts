import type { Side } from '@bittern/crossval';
import { generate, type Model, prefill } from '@bittern/engine';
import { openGguf } from '@bittern/gguf-parser';
import type { Lanes, Pointer, WasmKernels } from '@bittern/kernels';
import { type Tokenizer, tokenizerFromGguf } from '@bittern/tokenizer';
import { type Fault, floatsIn, halvesIn, MODELS, PROMPT, scaleTensor, swapTensors } from './support.ts';

// tiny-random: 4 layers, 4 query and 2 key heads of 64, hidden 256, 512 tokens. The prompt has 6 ids, BOS first.

/** The id of the prompt's fourth token. */
const rowOfPrompt = tokenizerFromGguf((await openGguf(MODELS['tiny-random'])).metadata).encode(PROMPT)[3]!;

/** Query heads 1 and 2 exchanged: what modulo instead of division maps them to. */
const otherHeads = (head: number): number => [0, 2, 1, 3][head]!;

/** Reads, changes and writes back f32 values. */
function change(
  memory: WasmKernels['memory'],
  at: Pointer,
  count: number,
  by: (value: number, index: number) => number,
): void {
  const values = memory.f32(at, count);
  values.set(values.slice().map(by));
}

/** Exchanges blocks of `width` values among the heads of `[outer, heads, inner]`. */
function permuteHeads(memory: WasmKernels['memory'], at: Pointer, outer: number, heads: number, width: number): void {
  const values = memory.f32(at, outer * heads * width);
  const copy = values.slice();
  for (let row = 0; row < outer; row++) {
    for (let head = 0; head < heads; head++) {
      const from = (row * heads + otherHeads(head)) * width;
      values.set(copy.subarray(from, from + width), (row * heads + head) * width);
    }
  }
}

/** Truncates an f32 toward zero to f16 bits; small values and the sign are kept. */
function truncatedToHalf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  return exponent <= 0 ? (bits >>> 16) & 0x8000 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** Quantizes rows in our own way: `scaleOf` the largest magnitude, `round` to an integer. */
function quantizing(
  plain: WasmKernels,
  scaleOf: (amax: number) => number,
  /** Of a product of two f32, exact. */
  round: (product: number) => number,
): Partial<WasmKernels> {
  return {
    quantizeRows(x, rowBegin, rowEnd, width, values, scales, sums) {
      const { memory } = plain;
      for (let row = rowBegin; row < rowEnd; row++) {
        const source = memory.f32(x + 4 * row * width, width);
        const scale = Math.fround(scaleOf(Math.max(1e-5, ...source.map(Math.abs))));
        const bytes = memory.bytes(values + row * width, width);
        let sum = 0;
        for (const [index, value] of source.entries()) {
          const quantized = Math.max(-128, Math.min(127, round(value * scale)));
          bytes[index] = quantized & 0xff;
          sum += quantized;
        }
        memory.f32(scales + 4 * row, 1)[0] = scale;
        new Int32Array(memory.bytes(sums + 4 * row, 4).buffer, sums + 4 * row, 1)[0] = sum;
      }
    },
  };
}

function roundTwice(product: number): number {
  return roundToEven(Math.fround(product));
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** After rows of logits were computed by either product of the head. */
function afterHead(plain: WasmKernels, then: (out: Pointer, count: number) => void): Partial<WasmKernels> {
  return {
    f16Gemv(matrix, begin, end, width, stride, vector, out, lanes, scratch) {
      plain.f16Gemv(matrix, begin, end, width, stride, vector, out, lanes, scratch);
      then(out, end - begin);
    },
    f16Gemm(matrix, begin, end, width, stride, vectors, vectorStride, count, out, outStride, lanes, scratch) {
      plain.f16Gemm(matrix, begin, end, width, stride, vectors, vectorStride, count, out, outStride, lanes, scratch);
      for (let row = 0; row < count; row++) then(out + 4 * row * outStride, end - begin);
    },
  };
}

/** The head's products over a part of the columns. */
function headOver(plain: WasmKernels, part: (columns: number) => number): Partial<WasmKernels> {
  return {
    f16Gemv: (matrix, begin, end, columns, ...rest) => plain.f16Gemv(matrix, begin, end, part(columns), ...rest),
    f16Gemm: (matrix, begin, end, columns, ...rest) => plain.f16Gemm(matrix, begin, end, part(columns), ...rest),
  };
}

/** Changes the arguments of attention. */
function attending(
  plain: WasmKernels,
  changed: { scale?: (scale: number) => number; lanes?: Lanes },
): Partial<WasmKernels> {
  return {
    attention(...args) {
      args[12] = changed.scale?.(args[12]) ?? args[12];
      args[13] = changed.lanes ?? args[13];
      plain.attention(...args);
    },
  };
}

/** Attention row by row: each sees the cells up to the position that `lastSeen` says. */
function seeing(plain: WasmKernels, lastSeen: (position: number, last: number) => number): Partial<WasmKernels> {
  return {
    attention(
      q,
      kvBegin,
      kvEnd,
      heads,
      kvHeads,
      headDim,
      count,
      position,
      keys,
      values,
      cacheCells,
      cells,
      scale,
      lanes,
      out,
      scores,
      probabilities,
      scratch,
    ) {
      const { memory } = plain;
      const taps = memory.allocate(8 * heads * cells);
      for (let row = 0; row < count; row++) {
        const at = 4 * row * heads * headDim;
        plain.attention(
          q + at,
          kvBegin,
          kvEnd,
          heads,
          kvHeads,
          headDim,
          1,
          lastSeen(position + row, position + count - 1),
          keys,
          values,
          cacheCells,
          cells,
          scale,
          lanes,
          out + at,
          taps,
          taps + 4 * heads * cells,
          scratch,
        );
        for (let head = 0; head < heads; head++) {
          for (const [target, source] of [
            [scores, taps],
            [probabilities, taps + 4 * heads * cells],
          ] as const) {
            if (target === 0) continue;
            memory
              .f32(target + 4 * (head * count + row) * cells, cells)
              .set(memory.f32(source + 4 * head * cells, cells));
          }
        }
      }
      memory.free(taps);
    },
  };
}

/** After keys and values were stored, one cell is cleared. */
function clearing(plain: WasmKernels, cell: number, what: 'keys' | 'values'): Partial<WasmKernels> {
  return {
    storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache) {
      plain.storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache);
      if (cell < position || cell >= position + count) return;
      for (let head = 0; head < kvHeads; head++) {
        if (what === 'keys') plain.memory.u16(keyCache + 2 * (head * cells + cell) * headDim, headDim).fill(0);
        else
          for (let line = 0; line < headDim; line++)
            plain.memory.u16(valueCache + 2 * ((head * headDim + line) * cells + cell), 1).fill(0);
      }
    },
  };
}

/** Tables of sines and cosines, and the positions they are looked up at, changed. */
function rotating(plain: WasmKernels, angle: (position: number) => number): Partial<WasmKernels> {
  return {
    ropeTable(begin, end, headDim, ratio, _factors, cosines, sines) {
      const half = headDim / 2;
      for (let position = begin; position < end; position++) {
        let theta = angle(position);
        const [c, s] = [cosines, sines].map((table) => plain.memory.f32(table + 4 * position * half, half));
        for (let pair = 0; pair < half; pair++) {
          c![pair] = Math.cos(theta);
          s![pair] = Math.sin(theta);
          theta = Math.fround(theta * ratio);
        }
      }
    },
  };
}

/** Rotates neighbours (2j, 2j + 1), as the NORM kind of RoPE does. */
function neighbours(plain: WasmKernels): Partial<WasmKernels> {
  return {
    ropeNeox(x, rowBegin, rowEnd, heads, headDim, position, cosines, sines) {
      const half = headDim / 2;
      for (let row = rowBegin; row < rowEnd; row++) {
        const [c, s] = [cosines, sines].map((table) =>
          plain.memory.f32(table + 4 * (position + row) * half, half).slice(),
        );
        for (let head = 0; head < heads; head++) {
          const values = plain.memory.f32(x + 4 * (row * heads + head) * headDim, headDim);
          for (let pair = 0; pair < half; pair++) {
            const [a, b] = [values[2 * pair]!, values[2 * pair + 1]!];
            values[2 * pair] = a * c![pair]! - b * s![pair]!;
            values[2 * pair + 1] = a * s![pair]! + b * c![pair]!;
          }
        }
      }
    },
  };
}

/** Computes gate · up anew with another activation, taps included. */
function activating(plain: WasmKernels, activation: (x: number) => number): Partial<WasmKernels> {
  const { memory } = plain;
  return {
    siluGate(gate, up, count, _lanes, out, silu) {
      const [g, u] = [memory.f32(gate, count).slice(), memory.f32(up, count).slice()];
      if (silu !== 0) memory.f32(silu, count).set(g.map(activation));
      memory.f32(out, count).set(g.map((x, index) => Math.fround(activation(x)) * u[index]!));
    },
    reluSquaredGate(gate, up, count, out, relu, squared) {
      const [g, u] = [memory.f32(gate, count).slice(), memory.f32(up, count).slice()];
      if (relu !== 0) memory.f32(relu, count).set(g.map((x) => Math.max(x, 0)));
      if (squared !== 0) memory.f32(squared, count).set(g.map(activation));
      memory.f32(out, count).set(g.map((x, index) => Math.fround(activation(x)) * u[index]!));
    },
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Decodes with another choice of the next id, on a session of its own. */
function decodingWith(model: Model, choose: (row: Float32Array) => number): Side['decode'] {
  return async (ids, { mode, count, onLogits }) => {
    using session = model.createSession();
    const chosen: number[] = [];
    const logits = await prefill(session, ids, mode);
    const generated = generate(session, logits, {
      maxTokens: count,
      sampler: choose,
      onLogits: (values) => onLogits?.({ position: ids.length - 1 + chosen.length, values }),
    });
    for await (const id of generated) chosen.push(id);
    return chosen;
  };
}

/** The id of a control token. */
function control(tokenizer: Tokenizer, index: number): number {
  return [...tokenizer.controlTokens.values()].toSorted((a, b) => a - b).at(index)!;
}

export const FAULTS: readonly Fault[] = [
  // In the model file
  {
    name: 'one embedding row is zeros',
    file: (parts) => halvesIn(parts, 'token_embd.weight').fill(0, 256 * rowOfPrompt, 256 * (rowOfPrompt + 1)),
    // The head reads the row too, at position 0.
    rung: 'first-logit',
    tap: 'inp_embd#0',
    cause: 'embedding-rows',
  },
  {
    name: 'embedding rows are shifted by one',
    file: (parts) => {
      const rows = halvesIn(parts, 'token_embd.weight');
      const copy = rows.slice();
      rows.set(copy.subarray(256), 0);
      rows.set(copy.subarray(0, 256), copy.length - 256);
    },
    rung: 'first-logit',
    tap: 'inp_embd#0',
    cause: 'embedding-rows',
  },
  {
    name: 'the embedding of an id outside the prompt, which the head reads',
    file: (parts) => halvesIn(parts, 'token_embd.weight').fill(0x3000, 256 * 500, 256 * 501),
    rung: 'first-logit',
    tap: 'result_output#0',
    cause: 'embedding-rows',
  },
  {
    name: 'the embedding went through 7 bits',
    file: (parts) => {
      const bits = halvesIn(parts, 'token_embd.weight');
      bits.set(bits.map((half) => half & 0xfff8));
    },
    rung: 'first-logit',
    tap: 'inp_embd#0',
    cause: 'embedding-dtype',
  },
  {
    name: 'I2_S weights are read as 64x16',
    load: { i2sLayout: '64x16' },
    rung: 'first-logit',
    tap: 'Qcur-0#0',
    cause: 'i2s-layout',
  },
  {
    name: 'the scale of one tensor is a quarter larger',
    file: (parts) => scaleTensor(parts, 'blk.1.attn_q.weight', 1.25),
    rung: 'positions',
    tap: 'Qcur-1#0',
    cause: 'tensor-scale',
  },
  {
    name: 'the scale of one tensor differs in the last digits',
    file: (parts) => scaleTensor(parts, 'blk.0.attn_v.weight', 1 + 2 ** -12),
    rung: 'first-logit',
    tap: 'Vcur-0#0',
    cause: 'tensor-scale',
  },
  {
    name: 'gate and up are exchanged',
    file: (parts) => swapTensors(parts, 'blk.1.ffn_gate.weight', 'blk.1.ffn_up.weight'),
    rung: 'first-logit',
    tap: 'ffn_gate-1#0',
    cause: 'swapped-tensors',
  },
  {
    name: 'keys and values are exchanged',
    file: (parts) => swapTensors(parts, 'blk.0.attn_k.weight', 'blk.0.attn_v.weight'),
    rung: 'first-logit',
    tap: 'Kcur-0#0',
    cause: 'swapped-tensors',
  },
  {
    name: 'the queries of two layers are exchanged',
    file: (parts) => swapTensors(parts, 'blk.1.attn_q.weight', 'blk.2.attn_q.weight'),
    rung: 'positions',
    tap: 'Qcur-1#0',
    cause: 'swapped-tensors',
  },
  {
    name: 'one weight is flipped',
    file: ({ tensors }) => {
      const { data } = tensors.get('blk.2.ffn_down.weight')!;
      data[0]! ^= (data[0]! & 3) === 2 ? 2 : (data[0]! & 3) === 1 ? 1 : 2;
    },
    rung: 'first-logit',
    tap: 'ffn_down-2#0',
    cause: 'weight-values',
  },
  {
    name: 'eight rows of a tensor are zeros',
    file: ({ tensors }) => tensors.get('blk.0.attn_output.weight')!.data.fill(0x55, 0, (8 * 256) / 4),
    rung: 'first-logit',
    tap: 'attn_o_out-0#0',
    cause: 'weight-values',
  },
  {
    name: 'another epsilon',
    file: ({ metadata }) => {
      const at = metadata.findIndex(([key]) => key.endsWith('layer_norm_rms_epsilon'));
      metadata[at] = [metadata[at]![0], 'f32', 1e-3];
    },
    rung: 'first-logit',
    tap: 'norm-0#0',
    cause: 'norm-epsilon',
  },
  {
    name: 'a norm weight is a tenth larger',
    file: (parts) => {
      const gamma = floatsIn(parts, 'blk.0.attn_norm.weight');
      gamma.set(gamma.map((value) => value * 1.1));
    },
    rung: 'first-logit',
    tap: 'attn_norm-0#0',
    cause: 'norm-gamma',
  },
  {
    name: 'some columns of a norm weight',
    file: (parts) => {
      const gamma = floatsIn(parts, 'blk.3.ffn_sub_norm.weight');
      gamma.set(gamma.subarray(0, 32).map((value) => value * 3));
    },
    rung: 'first-logit',
    tap: 'ffn_sub_norm-3#0',
    cause: 'norm-gamma',
  },
  {
    name: 'the last norm weight has 8 bits',
    file: (parts) => {
      const gamma = floatsIn(parts, 'output_norm.weight');
      gamma.set(gamma.map((value) => Math.round(value * 128) / 128));
    },
    rung: 'first-logit',
    tap: 'result_norm#0',
    cause: 'norm-gamma',
  },
  {
    name: 'the base of RoPE is 10,000',
    file: ({ metadata }) => {
      const at = metadata.findIndex(([key]) => key.endsWith('rope.freq_base'));
      metadata[at] = [metadata[at]![0], 'f32', 10_000];
    },
    rung: 'positions',
    tap: 'Qcur-0#1',
    cause: 'rope-base',
  },
  {
    // With large scores some softmax weights underflow to 0 on one side only, which is no mask.
    name: 'the base of RoPE is 10,000, where softmax weights underflow',
    both: (parts) => {
      for (let layer = 0; layer < 4; layer++) scaleTensor(parts, `blk.${layer}.attn_q.weight`, 64);
    },
    file: ({ metadata }) => {
      const at = metadata.findIndex(([key]) => key.endsWith('rope.freq_base'));
      metadata[at] = [metadata[at]![0], 'f32', 10_000];
    },
    rung: 'positions',
    tap: 'Qcur-0#1',
    cause: 'rope-base',
  },
  {
    name: 'the base of RoPE is 1 % larger',
    file: ({ metadata }) => {
      const at = metadata.findIndex(([key]) => key.endsWith('rope.freq_base'));
      metadata[at] = [metadata[at]![0], 'f32', 505_000];
    },
    rung: 'positions',
    tap: 'Qcur-0#1',
    cause: 'rope-base',
  },
  {
    name: 'queries and attention output of a layer are exchanged',
    file: (parts) => swapTensors(parts, 'blk.1.attn_q.weight', 'blk.1.attn_output.weight'),
    rung: 'first-logit',
    tap: 'Qcur-1#0',
    cause: 'swapped-tensors',
  },
  // In one kernel of the table
  {
    name: 'RoPE at half the position',
    kernels: (plain) => rotating(plain, (position) => position / 2),
    rung: 'positions',
    tap: 'Qcur-0#1',
    cause: 'rope-scale',
  },
  {
    name: 'RoPE one position too far',
    kernels: (plain) => rotating(plain, (position) => position + 1),
    rung: 'positions',
    tap: 'Qcur-0#1',
    cause: 'rope-position',
  },
  { name: 'RoPE of neighbours', kernels: neighbours, rung: 'positions', tap: 'Qcur-0#1', cause: 'rope-pairing' },
  { name: 'no RoPE', kernels: () => ({ ropeNeox() {} }), rung: 'positions', tap: 'Qcur-0#1', cause: 'rope-missing' },
  {
    name: 'no causal mask',
    kernels: (plain) => seeing(plain, (_, last) => last),
    rung: 'masks',
    tap: 'kq_soft_max_ext-0#0',
    cause: 'causal-mask',
  },
  {
    name: 'a position does not see itself',
    kernels: (plain) => seeing(plain, (position) => Math.max(0, position - 1)),
    rung: 'masks',
    tap: 'kq_soft_max_ext-0#0',
    cause: 'causal-mask',
  },
  {
    name: 'keys and values one cell too far',
    kernels: (plain) => ({
      storeKeysValues: (keys, values, count, kvHeads, headDim, position, ...rest) =>
        plain.storeKeysValues(keys, values, count, kvHeads, headDim, position + 1, ...rest),
    }),
    rung: 'first-logit',
    tap: 'kq-0#0',
    cause: 'kv-cell-offset',
  },
  {
    name: 'the key of one cell is lost',
    kernels: (plain) => clearing(plain, 3, 'keys'),
    rung: 'positions',
    tap: 'kq-0#0',
    cause: 'kv-stale-cell',
  },
  {
    name: 'the value of one cell is lost',
    kernels: (plain) => clearing(plain, 2, 'values'),
    rung: 'positions',
    tap: 'kqv-0#0',
    cause: 'kv-stale-cell',
  },
  {
    name: 'query heads read key heads by modulo',
    kernels: (plain) => ({
      attention(...args) {
        const { memory } = plain;
        const [q, , , heads, , headDim, count] = args;
        const [cells, out, scores, probabilities] = [args[11], args[14], args[15], args[16]];
        permuteHeads(memory, q, count, heads, headDim);
        plain.attention(...args);
        permuteHeads(memory, q, count, heads, headDim);
        permuteHeads(memory, out, count, heads, headDim);
        for (const tap of [scores, probabilities]) if (tap !== 0) permuteHeads(memory, tap, 1, heads, count * cells);
      },
    }),
    rung: 'first-logit',
    tap: 'kq-0#0',
    cause: 'gqa-mapping',
  },
  {
    name: 'scores are scaled by an eighth more',
    kernels: (plain) => attending(plain, { scale: (scale) => scale * 1.125 }),
    rung: 'positions',
    tap: 'kq_soft_max_ext-0#0',
    cause: 'softmax-scale',
  },
  {
    name: 'attention in the order of AVX2',
    kernels: (plain) => attending(plain, { lanes: 8 }),
    rung: 'positions',
    tap: 'kq-0#0',
    cause: 'float-order',
  },
  {
    name: 'activations are rounded down',
    kernels: (plain) =>
      quantizing(
        plain,
        (amax) => 127 / amax,
        (product) => Math.floor(Math.fround(product)),
      ),
    rung: 'first-logit',
    tap: 'Qcur-0#0',
    cause: 'activation-quantization',
  },
  {
    name: 'activations are quantized to 6 bits',
    kernels: (plain) => quantizing(plain, (amax) => 31 / amax, roundTwice),
    rung: 'first-logit',
    tap: 'Qcur-0#0',
    cause: 'activation-quantization',
  },
  {
    name: 'the quantizer has a floor of 8',
    kernels: (plain) => quantizing(plain, (amax) => 127 / Math.max(8, amax), roundTwice),
    rung: 'first-logit',
    tap: 'Qcur-0#0',
    cause: 'activation-quantization',
  },
  {
    // What a bitnet.cpp compiled by GCC gives for this prompt, which has a tie in its first 16 ids.
    name: 'the rounding of activations is fused',
    model: 'tiny-random-bitnet',
    prompt:
      'The quick brown fox jumps over the lazy dog, and the dog, who had seen many foxes in its life, did not even look up from its sleep.',
    kernels: (plain) => quantizing(plain, (amax) => 127 / amax, roundToEven),
    rung: 'positions',
    tap: 'attn_o_out-0#0',
    cause: 'fused-rounding',
  },
  {
    name: 'one row of the head is not rounded to f16',
    mode: 'sequential',
    kernels: (plain) => ({
      roundToF16(source, count, out) {
        plain.memory.f32(out, count).set(plain.memory.f32(source, count));
      },
    }),
    rung: 'first-logit',
    tap: 'result_output#0',
    cause: 'f16-rounding',
  },
  {
    name: 'keys are truncated to f16',
    kernels: (plain) => ({
      storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache) {
        plain.storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache);
        for (let row = 0; row < count; row++) {
          for (let head = 0; head < kvHeads; head++) {
            const source = plain.memory.f32(keys + 4 * (row * kvHeads + head) * headDim, headDim);
            const target = plain.memory.u16(keyCache + 2 * (head * cells + position + row) * headDim, headDim);
            target.set(Uint16Array.from(source, truncatedToHalf));
          }
        }
      },
    }),
    rung: 'positions',
    tap: 'kq-0#0',
    cause: 'f16-rounding',
  },
  {
    name: 'relu is not squared',
    kernels: (plain) => activating(plain, (x) => Math.max(x, 0)),
    rung: 'first-logit',
    tap: 'ffn_sqr(relu)-0#0',
    cause: 'activation-function',
  },
  {
    name: 'SiLU in place of squared relu',
    kernels: (plain) => activating(plain, (x) => x * sigmoid(x)),
    rung: 'first-logit',
    tap: 'ffn_sqr(relu)-0#0',
    cause: 'activation-function',
  },
  {
    name: 'GELU in place of SiLU',
    model: 'tiny-random-bitnet',
    kernels: (plain) => activating(plain, gelu),
    rung: 'first-logit',
    tap: 'ffn_silu-0#0',
    cause: 'activation-function',
  },
  {
    name: 'the residual stream is lost',
    kernels: (plain) => ({ add: (a, _b, count, out) => plain.memory.f32(out, count).set(plain.memory.f32(a, count)) }),
    rung: 'first-logit',
    tap: 'ffn_inp-0#0',
    cause: 'residual-add',
  },
  {
    name: 'the head writes logits one id too low',
    kernels: (plain) =>
      afterHead(plain, (out, count) => {
        const values = plain.memory.f32(out, count);
        values.set([...values.subarray(1), values[0]!]);
      }),
    rung: 'first-logit',
    tap: 'result_output#0',
    cause: 'vocabulary-offset',
  },
  {
    name: 'the head reads half of the columns',
    kernels: (plain) => headOver(plain, (columns) => columns / 2),
    rung: 'first-logit',
    tap: 'result_output#0',
    cause: 'tied-head',
  },
  {
    name: 'logits are halved',
    kernels: (plain) => afterHead(plain, (out, count) => change(plain.memory, out, count, (value) => value / 2)),
    rung: 'first-logit',
    tap: 'result_output#0',
    cause: 'logit-scale',
  },
  {
    name: 'a norm yields NaN',
    kernels: (plain) => ({
      rmsNorm(...args) {
        plain.rmsNorm(...args);
        plain.memory.f32(args[6], 1)[0] = Number.NaN;
      },
    }),
    rung: 'first-logit',
    tap: 'attn_norm-0#0',
    cause: 'not-finite',
  },
  {
    name: 'RoPE seven positions too far, token by token',
    mode: 'sequential',
    kernels: (plain) => rotating(plain, (position) => position + 7),
    rung: 'positions',
    tap: 'Qcur-0#1',
    cause: 'rope-position',
  },
  {
    name: 'keys are not rotated',
    kernels: (plain) => ({
      ropeNeox: (x, begin, end, heads, ...rest) => heads > 2 && plain.ropeNeox(x, begin, end, heads, ...rest),
    }),
    rung: 'positions',
    tap: 'Kcur-0#1',
    cause: 'rope-missing',
  },
  {
    name: 'values one cell too far',
    kernels: (plain) => ({
      storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, valueCache) {
        const unused = plain.memory.allocate(2 * kvHeads * headDim * cells);
        plain.storeKeysValues(keys, values, count, kvHeads, headDim, position, cells, keyCache, unused);
        plain.storeKeysValues(keys, values, count, kvHeads, headDim, position + 1, cells, unused, valueCache);
        plain.memory.free(unused);
      },
    }),
    rung: 'first-logit',
    tap: 'kqv-0#0',
    cause: 'kv-cell-offset',
  },
  {
    name: 'the mean is taken out before a norm',
    kernels: (plain) => ({
      rmsNorm(x, weight, begin, end, width, ...rest) {
        const centred = plain.memory.allocate(4 * end * width);
        for (let row = begin; row < end; row++) {
          const values = plain.memory.f32(x + 4 * row * width, width);
          const mean = values.reduce((sum, value) => sum + value, 0) / width;
          plain.memory.f32(centred + 4 * row * width, width).set(values.map((value) => value - mean));
        }
        plain.rmsNorm(centred, weight, begin, end, width, ...rest);
        plain.memory.free(centred);
      },
    }),
    rung: 'first-logit',
    tap: 'norm-0#0',
    cause: 'norm-epsilon',
  },
  {
    name: 'the head sums in the order of AVX2',
    kernels: (plain) => ({
      f16Gemm(...args) {
        args[10] = 8;
        plain.f16Gemm(...args);
      },
    }),
    rung: 'first-logit',
    tap: 'result_output#0',
    cause: 'float-order',
  },
  // In the session
  {
    name: 'a decoded token is not stored',
    kernels: (plain) => ({
      storeKeysValues(keys, values, count, ...rest) {
        if (count > 1) plain.storeKeysValues(keys, values, count, ...rest);
      },
    }),
    rung: 'decode',
    tap: 'kq-0#0',
    cause: 'kv-update',
  },
  {
    name: 'ties go to the highest id',
    both: (parts) => {
      // Each odd row is that of the even one before it: every largest logit is there twice.
      const rows = halvesIn(parts, 'token_embd.weight');
      for (let row = 0; row < 512; row += 2) rows.copyWithin(256 * (row + 1), 256 * row, 256 * (row + 1));
    },
    session: (_, model) => ({ decode: decodingWith(model, (row) => row.lastIndexOf(Math.max(...row))) }),
    rung: 'decode',
    tap: null,
    cause: 'sampling-tie',
  },
  {
    name: 'the second largest logit is taken',
    session: (_, model) => ({ decode: decodingWith(model, (row) => row.indexOf(row.toSorted().at(-2)!)) }),
    rung: 'decode',
    tap: null,
    cause: 'sampler',
  },
  {
    name: 'rows of two positions are exchanged',
    session: (side) => ({
      evaluate: (ids, options) =>
        side.evaluate(ids, {
          ...options,
          onLogits: (row) => options.onLogits({ ...row, position: [0, 1, 3, 2, 4, 5][row.position]! }),
        }),
    }),
    rung: 'positions',
    tap: null,
    cause: 'exchanged-rows',
  },
  {
    name: 'a temperature is applied to the rows',
    session: (side) => ({
      evaluate: (ids, options) =>
        side.evaluate(ids, {
          ...options,
          onLogits: (row) => options.onLogits({ ...row, values: row.values!.map((value) => value / 0.7) }),
        }),
    }),
    rung: 'first-logit',
    tap: null,
    cause: 'logit-scale',
  },
  {
    name: 'noise in one operation',
    kernels: (plain) => ({
      rmsNorm(...args) {
        plain.rmsNorm(...args);
        change(plain.memory, args[6], args[4], (value) => value * (1 + 1e-3 * Math.random()));
      },
    }),
    rung: 'first-logit',
    tap: 'attn_norm-0#0',
    cause: 'nondeterminism',
  },
  // In the tokenizer
  { name: 'no BOS', tokenizer: (ids) => ids.slice(1), rung: 'tokens', tap: null, cause: 'missing-bos' },
  { name: 'BOS twice', tokenizer: (ids) => [ids[0]!, ...ids], rung: 'tokens', tap: null, cause: 'doubled-bos' },
  {
    name: 'EOS at the end',
    tokenizer: (ids, tokenizer) => [...ids, tokenizer.eosId!],
    rung: 'tokens',
    tap: null,
    cause: 'trailing-eos',
  },
  {
    name: 'ids are one too large',
    tokenizer: (ids) => ids.map((id) => id + 1),
    rung: 'tokens',
    tap: null,
    cause: 'vocabulary-offset',
  },
  {
    name: 'special tokens are spelled',
    prompt: 'User: What is 2 + 2? Explain.<|eot_id|>Assistant:',
    tokenizer: (_, tokenizer, text) => tokenizer.encode(text, { parseSpecial: false }),
    rung: 'tokens',
    tap: null,
    cause: 'special-tokens',
  },
  {
    name: 'a chat template around the text',
    tokenizer: (ids, tokenizer) => [
      ids[0]!,
      control(tokenizer, -1),
      ...tokenizer.encode('user\n\n', { addBos: false }),
      ...ids.slice(1),
      control(tokenizer, -1),
    ],
    rung: 'tokens',
    tap: null,
    cause: 'template-residue',
  },
  {
    name: 'one piece a byte',
    tokenizer: (ids, tokenizer, text) => [
      ids[0]!,
      ...Array.from(text, (character) => tokenizer.encode(character, { addBos: false })).flat(),
    ],
    rung: 'tokens',
    tap: null,
    cause: 'pre-tokenizer',
  },
];
