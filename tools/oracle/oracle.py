#!/usr/bin/env python3
"""What bitnet.cpp computes, bit for bit, in numpy: token ids and a GGUF in, logits out. Slow, plain and in one file.

    python3 oracle.py MODEL.gguf --ids 1,2,3 [--lanes 8|16] [--mode batch-all|batch-last|sequential] [--greedy N]
                      [--out DIR] [--trace] [--i2s-layout 128x32|64x16] [--tl1-tiling TILING.json]

The reference is microsoft/BitNet 01eb415 with its llama.cpp submodule, x86: --lanes 16 is its AVX-512 build, --lanes 8
its AVX2+FMA+F16C build. Section numbers refer to ../../docs/numerics.md.

Conventions: shapes are outermost first; f32/f16/f64 are IEEE types; "f32(...)" in a comment is one rounding. `n` is the
number of tokens evaluated together, `position` counts from 0. Every array of activations is f32 unless it says otherwise.
"""
import argparse
import hashlib
import json
import os
import struct
import sys
import numpy as np

f32, f64 = np.float32, np.float64
MICRO_BATCH = 512            # the reference evaluates a longer prompt in pieces of this many tokens (n_ubatch)
KV_PADDING = 32              # attention always runs over a multiple of this many cache cells
F32, F16, I2_S, TL1 = 0, 1, 36, 38           # tensor types that this program reads (section 1.1)
ARCHITECTURES = ("bitnet", "bitnet-25", "bitnet-b1.58")
LINEAR = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm")


# =========================================================================================== GGUF container (section 1)
class Gguf:
    """Metadata as a dict and tensors as views into the mapped file."""

    def __init__(self, path):
        self.data = np.memmap(path, np.uint8, "r")
        self.at = 0
        if bytes(self.data[:4]) != b"GGUF":
            raise SystemExit(f"{path} is not a GGUF file")
        _, version, tensor_count, key_count = self.read("<4sIQQ")
        if version not in (2, 3):
            raise SystemExit(f"GGUF version {version} is not supported (2 and 3 are)")
        self.metadata = {}
        for _ in range(key_count):
            key = self.string()
            self.metadata[key] = self.value(*self.read("<I"))
        self.tensors = {}
        for _ in range(tensor_count):
            name = self.string()
            rank, = self.read("<I")
            self.tensors[name] = (self.read(f"<{rank}Q"), *self.read("<IQ"))     # (dims innermost first, type, offset)
        alignment = self.metadata.get("general.alignment", 32)
        self.data_start = -(-self.at // alignment) * alignment

    def read(self, layout):
        size = struct.calcsize(layout)
        values = struct.unpack(layout, bytes(self.data[self.at:self.at + size]))
        self.at += size
        return values

    def string(self):
        length, = self.read("<Q")
        return self.read(f"<{length}s")[0].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            element, count = self.read("<IQ")
            return [self.value(element) for _ in range(count)]
        return self.read({0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}[kind])[0]

    def bytes_of(self, name, count):
        start = self.data_start + self.tensors[name][2]
        return self.data[start:start + count]

    def float_tensor(self, name):
        """An F32 or F16 tensor in its own type, outermost dimension first."""
        dims, kind, _ = self.tensors[name]
        if kind not in (F32, F16):
            raise SystemExit(f"{name} has type {kind}; the oracle reads norms as F32 and token_embd as F16 or F32")
        dtype = np.dtype("<f4" if kind == F32 else "<f2")
        return self.bytes_of(name, int(np.prod(dims)) * dtype.itemsize).view(dtype).reshape(dims[::-1])


# ============================================================================= ternary weights (sections 2 and 4): codes
def unpack_i2s(packed, rows, columns, block):
    """I2_S bytes -> [rows, columns] int8 in -1..1. `block` is 128 (128 weights in 32 bytes) or 64 (64 in 16)."""
    shifts = np.array([6, 4, 2, 0], np.uint8).reshape(1, 1, 4, 1)
    codes = (packed.reshape(rows, columns // block, 1, block // 4) >> shifts) & 3
    return codes.astype(np.int8).reshape(rows, columns) - 1


def unpack_tl1(packed, rows, columns, tiling):
    """TL1 bytes -> [rows, columns] int8 in -1..1. A nibble is a column pair, 3*a + b + 4; `tiling` is (BM, BBK, bm)."""
    tile_rows, tile_columns, inner_rows = tiling
    by = 256 // inner_rows                                                       # columns per inner step
    m, pair = np.meshgrid(np.arange(rows), np.arange(columns // 2), indexing="ij")
    tile, r = m // tile_rows, m % tile_rows
    block, rr = r // inner_rows, r % inner_rows
    k_tile, k = pair // (tile_columns // 2), pair % (tile_columns // 2)
    k_block, k2 = k // (by // 2), k % (by // 2)
    address = tile * (columns // tile_columns) + k_tile
    address = address * (tile_rows // inner_rows) + block
    address = address * (tile_columns // by) + k_block
    address = address * (inner_rows // 16) + rr // 16
    address = (address * (by // 4) + k2 // 2) * 16 + rr % 16
    nibble = np.where(k2 % 2 == 0, packed[address] >> 4, packed[address] & 15).astype(np.int8)
    return np.stack([nibble // 3 - 1, nibble % 3 - 1], axis=-1).reshape(rows, columns)


# ======================================================================================= float primitives (section 5.2)
def fma(a, b, c):
    """f32 fused multiply-add: a*b + c rounded once. a, b, c are f32 (or f64 holding f32 values).

    The product of two f32 is exact in f64; the f64 sum may round, which matters only if it then lies exactly half-way
    between two f32 values: those cases are decided by the sum's own rounding error.
    """
    product = np.asarray(a, f64) * np.asarray(b, f64)
    c = np.asarray(c, f64)
    total = np.atleast_1d(product + c)
    half_way = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if half_way.any():
        p, q, t = (np.broadcast_to(v, total.shape)[half_way] for v in (product, c, total))
        with np.errstate(invalid="ignore"):                                      # an infinity has no error term
            error = (p - (t - (t - p))) + (q - (t - p))                          # two-sum: p + q = t + error, exactly
        total[half_way] = np.where(error > 0, np.nextafter(t, np.inf), np.where(error < 0, np.nextafter(t, -np.inf), t))
    with np.errstate(over="ignore"):
        return total.astype(f32).reshape(np.broadcast_shapes(product.shape, c.shape))


def to_f16(x):
    """Round to f16 (nearest, ties to even) and back to f32."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(f32)


def hex_f32(text):
    return f32(float.fromhex(text))


def reduce_halving(v):
    """[..., lanes] -> [...]: lane i + lane i + width/2 until one is left."""
    while v.shape[-1] > 1:
        half = v.shape[-1] // 2
        v = v[..., :half] + v[..., half:]
    return v[..., 0]


def reduce_dot(v):
    """The reduction of `dot_f16`: halving with 16 lanes; with 8, halving once and then neighbours (horizontal adds)."""
    if v.shape[-1] == 16:
        return reduce_halving(v)
    v = v[..., :4] + v[..., 4:]
    return (v[..., 0] + v[..., 1]) + (v[..., 2] + v[..., 3])


def blocks_of(count, size):
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def dot_f16(a, b, lanes):
    """[m, k] and [n, k], both holding f16 values -> [n, m]. Sections 5.3, 5.4: the reference's plain f16 dot product.

    Four accumulators of `lanes`, (0+2)+(1+3), reduce; the tail k % (4*lanes) is added one by one in f64. Products of f16
    values are exact in f32, so multiply and add is the same as fma here.
    """
    (m, k), n, step = a.shape, b.shape[0], 4 * lanes
    full = k // step * step
    out = np.empty((n, m), f32)
    for rows in blocks_of(m, max(1, (1 << 18) // step)):
        for queries in blocks_of(n, max(1, (1 << 18) // (step * (rows.stop - rows.start)))):
            x, y = a[rows].astype(f32)[None], b[queries].astype(f32)[:, None]
            acc = np.zeros((y.shape[0], x.shape[1], step), f32)
            for i in range(0, full, step):
                acc += x[..., i:i + step] * y[..., i:i + step]
            acc = acc.reshape(*acc.shape[:2], 4, lanes)
            total = reduce_dot((acc[..., 0, :] + acc[..., 2, :]) + (acc[..., 1, :] + acc[..., 3, :])).astype(f64)
            for i in range(full, k):
                total += x[..., i] * y[..., i]                                    # the product is f32, the sum f64
            out[queries, rows] = total
    return out


def dot_f32(a, b, lanes):
    """[m, k] and [n, k] -> [n, m]. Section 5.3, "f32 cache": the reference's plain f32 dot product.

    As `dot_f16`, but products are not exact, so the accumulators are fused; the tail is added one by one, fused, in f32.
    """
    (m, k), n, step = a.shape, b.shape[0], 4 * lanes
    full = k // step * step
    x, y = a.astype(f64)[None], b.astype(f64)[:, None]
    acc = np.zeros((n, m, step), f32)
    for i in range(0, full, step):
        acc = fma(x[..., i:i + step], y[..., i:i + step], acc)
    acc = acc.reshape(n, m, 4, lanes)
    total = reduce_dot((acc[..., 0, :] + acc[..., 2, :]) + (acc[..., 1, :] + acc[..., 3, :]))
    for i in range(full, k):
        total = fma(x[..., i], y[..., i], total)
    return total


def dot_blas(a, b, lanes):
    """[m, k] holding f16 values (or f32, with an f32 cache) and [n, k] f32 -> [n, m]. Sections 5.3, 5.4: the reference's small matrix product.

    One accumulator of `lanes`, acc = fma(a, b, acc) along k, halving reduction. k is a multiple of `lanes`.
    """
    (m, k), n = a.shape, b.shape[0]
    if k % lanes:
        raise SystemExit(f"rows of {k} values are not a multiple of {lanes} lanes: the reference takes another path, not emulated")
    steps = k // lanes
    out = np.empty((n, m), f32)
    for rows in blocks_of(m, max(1, (1 << 16) // lanes)):
        x = np.ascontiguousarray(a[rows].astype(f64).reshape(-1, steps, lanes).transpose(1, 0, 2))[:, None]
        for queries in blocks_of(n, max(1, (1 << 16) // (lanes * (rows.stop - rows.start)))):
            y = np.ascontiguousarray(b[queries].astype(f64).reshape(-1, steps, lanes).transpose(1, 0, 2))[:, :, None]
            acc = np.zeros((y.shape[1], x.shape[2], lanes), f32)
            for i in range(steps):
                acc = fma(x[i], y[i], acc)
            out[queries, rows] = reduce_halving(acc)
    return out


def exp_reference(x, lanes):
    """f32 exp as both SIMD builds compute it (section 5.3); used by softmax and SiLU."""
    c = hex_f32
    with np.errstate(all="ignore"):
        z = fma(x, c("0x1.715476p+0"), c("0x1.8p23"))
        n = z - c("0x1.8p23")                                                    # the power of two, a whole number
        b = fma(-n, c("0x1.7f7d1cp-20"), fma(-n, c("0x1.62e4p-1"), x))           # what is left, |b| <= ln(2)/2
        u = b * b
        poly = fma(fma(c("0x1.0e4020p-7"), b, c("0x1.573e2ep-5")), u, fma(c("0x1.555e66p-3"), b, c("0x1.fffdb6p-2")))
        power = np.where(np.abs(n) <= 192, n, 0).astype(np.int32)
        if lanes == 16:
            value = np.ldexp(fma(poly, u, fma(c("0x1.ffffecp-1"), b, f32(1))), power)
        else:
            j = fma(poly, u, c("0x1.ffffecp-1") * b)
            far = np.abs(power) > 126                                            # 2^power itself is not a normal f32
            outer = np.where(far, np.where(power <= 0, -125, 127), 0)
            scale = np.ldexp(f32(1), power - outer)
            value = fma(scale, j, scale) * np.ldexp(f32(1), outer)
        return np.where(np.abs(n) <= 192, value, np.where(n > 0, f32(np.inf), np.where(n <= 0, f32(0), f32(np.nan)))).astype(f32)


SIN = [float.fromhex(s) for s in ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13")]
COS = [float.fromhex(s) for s in ("-0x1.ffffffd0c621cp-2", "0x1.55553e1068f19p-5", "-0x1.6c087e89a359dp-10", "0x1.99343027bf8c3p-16")]
PI_2 = float.fromhex("0x1.921FB54442D18p0")
PI_2_PARTS = [float.fromhex(s) for s in ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69")]


def sin_cos(angle):
    """f32 sine and cosine as glibc's sinf and cosf give them (section 5.2), from f64 multiplications and additions."""
    x = angle.astype(f64)
    small = np.abs(x) < float.fromhex("0x1.921FB6p-1")
    n = np.where(small, 0, np.rint(x * (2 / np.pi)))
    r = np.where(np.abs(x) < 120, x - n * PI_2, ((x - n * PI_2_PARTS[0]) - n * PI_2_PARTS[1]) - n * PI_2_PARTS[2])
    r2 = r * r
    r3, r4 = r * r2, r2 * r2
    sine = (r + r3 * SIN[0]) + r3 * r2 * (SIN[1] + r2 * SIN[2])
    cosine = ((1.0 + r2 * COS[0]) + r4 * COS[1]) + r4 * r2 * (COS[2] + r2 * COS[3])
    quadrant = n.astype(np.int64) & 3
    return (np.choose(quadrant, [sine, cosine, -sine, -cosine]).astype(f32),
            np.choose(quadrant, [cosine, -sine, -cosine, sine]).astype(f32))


def rms_norm(x, weight, epsilon):
    """[n, width] -> (normalized, normalized * weight). Section 5.2: squares in f32, their sum in f64 from left to right."""
    total = np.cumsum((x * x).astype(f64), axis=-1)[..., -1]
    mean = (total / x.shape[-1]).astype(f32)
    normalized = x * (f32(1) / np.sqrt(mean + f32(epsilon)))[..., None]
    return normalized, normalized * weight


def rope(x, positions, base):
    """[n, heads, head_dim] -> the same, rotated in pairs (j, j + head_dim/2). Section 5.2; the angle is an f32 product."""
    half = x.shape[-1] // 2
    ratio = f32(float(f32(base)) ** float(f32(-2.0 / x.shape[-1])))
    angles = np.empty((len(positions), half), f32)
    angles[:, 0] = positions
    for j in range(1, half):
        angles[:, j] = angles[:, j - 1] * ratio
    sine, cosine = (v[:, None, :] for v in sin_cos(angles))
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([fma(first, cosine, -(second * sine)), fma(first, sine, second * cosine)], axis=-1)


# ================================================================================================== ternary linear layer
def quantize_row(x, floor=1e-5):
    """[n, k] -> (int8 values as f32 [n, k], scale [n]) with x = values / scale (section 3). TL1 has no floor (section 4)."""
    amax = np.maximum(np.abs(x).max(axis=-1).astype(f64), floor)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        scale = (127.0 / amax).astype(f32)
        values = np.rint(x * scale[:, None])                                     # NaN where 0 * infinity, which converts to 0
    return np.clip(np.where(np.isnan(values), f32(0), values), -128, 127), scale


def ternary_linear(x, weights):
    """[n, k] -> [n, m]. The integer dot product is exact in any order (|sum| < 2^24, so f32 holds it); then / scale * weight scale."""
    ternary, weight_scale, floor = weights
    values, scale = quantize_row(x, floor)
    dots = (values.astype(f32) @ ternary.T if x.shape[-1] * 128 < 1 << 24 else values.astype(f64) @ ternary.T.astype(f64)).astype(f32)
    return dots / scale[:, None] * weight_scale


# ================================================================================================================= model
class Model:
    """One model and its key/value cache. `evaluate` runs one micro-batch and appends it to the cache."""

    def __init__(self, path, lanes=16, i2s_layout="128x32", tl1_tiling=None, kv_type="f16"):
        self.kv = {"f16": np.float16, "f32": f32}[kv_type]
        self.gguf, self.lanes, self.block, self.tl1_tiling = Gguf(path), lanes, int(i2s_layout.split("x")[0]), tl1_tiling
        metadata = self.gguf.metadata
        self.arch = metadata["general.architecture"]
        if self.arch not in ARCHITECTURES:
            raise SystemExit(f"architecture {self.arch!r} is not one of {', '.join(ARCHITECTURES)}")
        key = lambda name, *default: metadata.get(f"{self.arch}.{name}", *default)
        self.layers, self.hidden, self.heads = key("block_count"), key("embedding_length"), key("attention.head_count")
        self.kv_heads = key("attention.head_count_kv", self.heads)
        self.head_dim = self.hidden // self.heads
        self.epsilon, self.rope_base = key("attention.layer_norm_rms_epsilon"), key("rope.freq_base", 10000.0)
        known = {"token_embd.weight", "output_norm.weight", "output.weight"}     # output.weight: ignored, as the reference does
        known |= {f"blk.{i}.{name}.weight" for i in range(self.layers) for name in LINEAR + NORMS}
        unknown = sorted(set(self.gguf.tensors) - known)
        if unknown or key("rope.dimension_count", self.head_dim) != self.head_dim:
            raise SystemExit(f"outside what this program emulates: tensors {unknown[:3]} or partial rotation")
        self.embedding = self.gguf.float_tensor("token_embd.weight")              # f16 [vocab, hidden]
        self.keep_unpacked = self.layers * self.hidden * self.hidden < 1 << 25    # a large model is unpacked again each time
        self.unpacked = {}
        self.trace = None
        self.reset()

    def reset(self):
        self.keys = [np.zeros((0, self.kv_heads, self.head_dim), self.kv) for _ in range(self.layers)]
        self.values = [np.zeros((0, self.kv_heads, self.head_dim), self.kv) for _ in range(self.layers)]
        self.length = 0

    def linear_weights(self, name):
        """(f32 [m, k] of -1, 0, +1; the tensor's one f32 scale, read behind the codes: section 1.2; floor of its input's amax)."""
        if name in self.unpacked:
            return self.unpacked[name]
        (columns, rows), kind, _ = self.gguf.tensors[name]
        if kind not in (I2_S, TL1):
            raise SystemExit(f"{name} has type {kind}; the oracle computes ternary layers stored as I2_S ({I2_S}) or TL1 ({TL1})")
        size = rows * columns // 4
        data = self.gguf.bytes_of(name, size + 4)
        if kind == TL1:
            if f"{rows}x{columns}" not in (self.tl1_tiling or {}):
                raise SystemExit(f"{name} is TL1: give --tl1-tiling with an entry \"{rows}x{columns}\"")
            ternary = unpack_tl1(data[:size], rows, columns, self.tl1_tiling[f"{rows}x{columns}"])
        else:
            ternary = unpack_i2s(data[:size], rows, columns, self.block)
        weights = ternary.astype(f32), data[size:].view("<f4")[0], 0.0 if kind == TL1 else 1e-5
        if self.keep_unpacked:
            self.unpacked[name] = weights
        return weights

    def tap(self, name, value):
        if self.trace is not None:
            self.trace.append((name, np.array(value, f32)))
        return value

    def norm(self, x, name, layer=None):
        weight = self.gguf.float_tensor(f"{name}.weight" if layer is None else f"blk.{layer}.{name}.weight")
        normalized, weighted = rms_norm(x, weight, self.epsilon)
        self.tap("norm" if layer is None else f"norm-{layer}", normalized)
        return self.tap("result_norm" if layer is None else f"{name}-{layer}", weighted)

    def linear(self, x, name, layer, tap):
        return self.tap(f"{tap}-{layer}", ternary_linear(x, self.linear_weights(f"blk.{layer}.{name}.weight")))

    def attention(self, q, layer, positions):
        """q [n, heads, head_dim] over the cache -> [n, hidden]. Section 5.3: cells beyond the cache's end are zero."""
        n, cells = len(q), max(KV_PADDING, -(-self.length // KV_PADDING) * KV_PADDING)
        keys, values = (np.zeros((cells, self.kv_heads, self.head_dim), f32) for _ in range(2))
        keys[:self.length], values[:self.length] = self.keys[layer], self.values[layer]
        group = self.heads // self.kv_heads
        # A row's plain dot product. With an f16 cache both sides are rounded to f16, with an f32 one neither is.
        plain = (lambda a, b: dot_f16(a, to_f16(b), self.lanes)) if self.kv == np.float16 else (lambda a, b: dot_f32(a, b, self.lanes))
        if self.heads == 1 and n > 1:                                            # q is contiguous only then, and stays f32
            kq = dot_blas(keys[:, 0], q[:, 0], self.lanes)[None]
        else:
            kq = np.stack([plain(keys[:, head // group], q[:, head]) for head in range(self.heads)])
        self.tap(f"kq-{layer}", kq)                                              # [heads, n, cells], neither scaled nor masked
        scores = kq * (f32(1) / np.sqrt(f32(self.head_dim)))
        scores = np.where(np.arange(cells) > positions[:, None], f32(-np.inf), scores)
        e = exp_reference(scores - scores.max(axis=-1, keepdims=True), self.lanes)
        by_block = reduce_halving(e.reshape(*e.shape[:-1], -1, self.lanes)).astype(f64)
        total = np.cumsum(by_block, axis=-1)[..., -1:]                           # in f64, from left to right
        p = self.tap(f"kq_soft_max_ext-{layer}", e * (1.0 / total).astype(f32))
        if n == 1:                                                               # one token: probabilities are rounded to f16
            out = [plain(values[:, head // group].T, p[head]) for head in range(self.heads)]
        else:                                                                    # several: they stay f32, and the order differs
            out = [dot_blas(values[:, head // group].T, p[head], self.lanes) for head in range(self.heads)]
        self.tap(f"kqv-{layer}", np.stack(out))                                  # [heads, n, head_dim]
        return self.tap(f"kqv_out-{layer}", np.stack(out, axis=1).reshape(n, self.hidden))

    def evaluate(self, ids, wanted=None):
        """One micro-batch (section 5.1). Returns logits [len(wanted), vocab]; `wanted` are row numbers, by default all."""
        n = len(ids)
        wanted = list(range(n)) if wanted is None else wanted
        positions = np.arange(self.length, self.length + n)
        self.length += n
        x = self.tap("inp_embd", self.embedding[np.array(ids)].astype(f32))
        for layer in range(self.layers):
            h = self.norm(x, "attn_norm", layer)
            q = self.linear(h, "attn_q", layer, "Qcur").reshape(n, self.heads, self.head_dim)
            q = self.tap(f"Qcur-{layer}", rope(q, positions, self.rope_base))
            k = self.linear(h, "attn_k", layer, "Kcur").reshape(n, self.kv_heads, self.head_dim)
            k = self.tap(f"Kcur-{layer}", rope(k, positions, self.rope_base))
            v = self.linear(h, "attn_v", layer, "Vcur").reshape(n, self.kv_heads, self.head_dim)
            self.keys[layer] = np.concatenate([self.keys[layer], k.astype(self.kv)])
            self.values[layer] = np.concatenate([self.values[layer], v.astype(self.kv)])
            h = self.norm(self.attention(q, layer, positions), "attn_sub_norm", layer)
            h = self.linear(h, "attn_output", layer, "attn_o_out")
            if layer == self.layers - 1:                                         # only rows whose logits are wanted go on
                h, x = h[wanted], x[wanted]
                if not wanted:
                    return np.empty((0, len(self.embedding)), f32)
            x = self.tap(f"ffn_inp-{layer}", h + x)
            h = self.norm(x, "ffn_norm", layer)
            gate = self.linear(h, "ffn_gate", layer, "ffn_gate")
            if self.arch == "bitnet":
                gate = self.tap(f"ffn_silu-{layer}", gate / (f32(1) + exp_reference(-gate, self.lanes)))
            else:
                gate = self.tap(f"ffn_relu-{layer}", np.maximum(gate, f32(0)))
                gate = self.tap(f"ffn_sqr(relu)-{layer}", gate * gate)
            h = gate * self.linear(h, "ffn_up", layer, "ffn_up")
            h = self.tap(f"ffn_sub_out-{layer}" if self.arch == "bitnet" else f"ffn_out-{layer}", h)
            h = self.norm(h, "ffn_sub_norm", layer)
            x = self.tap(f"l_out-{layer}", self.linear(h, "ffn_down", layer, "ffn_down") + x)
        x = self.norm(x, "output_norm")
        if len(x) == 1:                                                          # section 5.4: one row is rounded to f16
            return self.tap("result_output", dot_f16(self.embedding, to_f16(x), self.lanes))
        return self.tap("result_output", dot_blas(self.embedding, x, self.lanes))

    def prompt(self, ids, mode):
        """A prompt from the start -> {position: logits}. The three modes differ in the last bits (section 5.4)."""
        self.reset()
        size = 1 if mode == "sequential" else MICRO_BATCH
        logits = {}
        for start in range(0, len(ids), size):
            piece = ids[start:start + size]
            wanted = list(range(len(piece)))
            if mode == "batch-last":
                wanted = [len(piece) - 1] if start + len(piece) == len(ids) else []
            rows = self.evaluate(piece, wanted)
            logits.update({start + row: values for row, values in zip(wanted, rows)})
        return logits

    def greedy(self, logits, count):
        """Continue after the logits of the last position -> (ids, the logits that chose each: [count, vocab])."""
        ids, rows = [], []
        for step in range(count):
            ids.append(int(np.argmax(logits)))                                   # the lowest id among equals
            rows.append(logits)
            if step + 1 < count:
                logits = self.evaluate(ids[-1:])[0]
        return ids, rows


# ========================================================================================================== command line
def describe_row(position, row):
    top = np.argsort(-row, kind="stable")[:5]
    return {"position": position, "top5": [[int(i), float(row[i])] for i in top],
            "sha256": hashlib.sha256(row.astype("<f4").tobytes()).hexdigest()}


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def write_trace(directory, trace):
    """One .npy per operation in execution order, and an index; `occurrence` tells equal names apart."""
    os.makedirs(directory, exist_ok=True)
    index, seen = [], {}
    for number, (name, value) in enumerate(trace):
        np.save(os.path.join(directory, f"{number:05d}.npy"), value)
        index.append({"file": f"{number:05d}.npy", "name": name, "occurrence": seen.get(name, 0), "shape": list(value.shape)})
        seen[name] = seen.get(name, 0) + 1
    with open(os.path.join(directory, "index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file, indent=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--ids", required=True, help="token ids of the prompt, separated by commas, BOS included")
    parser.add_argument("--lanes", type=int, choices=[8, 16], default=16)
    parser.add_argument("--mode", choices=["batch-all", "batch-last", "sequential"], default="batch-all")
    parser.add_argument("--greedy", type=int, default=0, metavar="N", help="then decode N tokens greedily, one by one")
    parser.add_argument("--out", metavar="DIR", help="write oracle.json, logits.npy, generated_logits.npy (and trace/) here")
    parser.add_argument("--trace", action="store_true", help="with --out: every operation of the prompt's evaluation")
    parser.add_argument("--i2s-layout", choices=["128x32", "64x16"], default="128x32")
    parser.add_argument("--tl1-tiling", metavar="JSON", help='{"MxK": [BM, BBK, bm], ...} for TL1 files')
    o = parser.parse_args()
    if o.trace and not o.out:
        parser.error("--trace needs --out")
    tiling = None
    if o.tl1_tiling:
        with open(o.tl1_tiling, encoding="utf-8") as file:
            tiling = json.load(file)
    ids = [int(token) for token in o.ids.split(",")]
    model = Model(o.model, o.lanes, o.i2s_layout, tiling)
    if not all(0 <= token < len(model.embedding) for token in ids):
        parser.error(f"token ids go from 0 to {len(model.embedding) - 1}")
    model.trace = [] if o.trace else None
    logits = model.prompt(ids, o.mode)
    trace, model.trace = model.trace, None
    greedy, generated = model.greedy(logits[len(ids) - 1], o.greedy)
    report = {"model": os.path.basename(o.model), "sha256": file_sha256(o.model), "arch": model.arch, "lanes": o.lanes, "mode": o.mode,
              "ids": ids, "logits": [describe_row(position, row) for position, row in logits.items()],
              "greedy": greedy, "generated": [describe_row(len(ids) - 1 + i, row) for i, row in enumerate(generated)]}
    json.dump(report, sys.stdout, indent=1)
    print()
    if o.out:
        os.makedirs(o.out, exist_ok=True)
        with open(os.path.join(o.out, "oracle.json"), "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        np.save(os.path.join(o.out, "logits.npy"), np.stack(list(logits.values())))
        if generated:
            np.save(os.path.join(o.out, "generated_logits.npy"), np.stack(generated))
        if trace is not None:
            write_trace(os.path.join(o.out, "trace"), trace)


if __name__ == "__main__":
    main()
