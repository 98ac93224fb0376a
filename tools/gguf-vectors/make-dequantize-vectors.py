#!/usr/bin/env python3
"""Write vectors for the dequantization of GGUF tensors: random quantized numbers, packed from the block definitions.

    python3 tools/gguf-vectors/make-dequantize-vectors.py packages/gguf-parser/test/vectors/dequantize.json

The direction is the reader's reversed: this script chooses the integers and scales, packs them into bytes, and computes
the values from what it chose, so it shares neither code nor method with the reader. It needs numpy only.

Definitions: the block structures and their comments in ggml-org/llama.cpp ggml/src/ggml-common.h at
01243c587feceaa5d6a6c2305535ef2f549c48b8; for I2_S and TL1, microsoft/BitNet at 01eb415 (src/ggml-bitnet-mad.cpp and
the TL1 converter). The same bytes for the same numpy version, 2.4.6.
"""
import base64
import json
import sys

import numpy as np

rng = np.random.Generator(np.random.SFC64(36))
BLOCKS = 2


def halves(count):
    """Scales as f16: of both signs, large and small, subnormal ones too."""
    return (rng.standard_normal(count) * 10.0 ** rng.integers(-6, 1, count)).astype("<f2")


def bits(count, width):
    return rng.integers(0, 1 << width, count, dtype=np.int64)


def pack(numbers, groups, width):
    """`numbers` -> bytes. Reshaped to [..., byte, place] by `groups` (a function), place 0 in the lowest bits."""
    planes = groups(numbers)
    return sum((planes[..., place] << (width * place)) for place in range(planes.shape[-1])).astype(np.uint8).reshape(-1)


def strided(run, count):
    """Element place * count + byte of each run: the way of ggml, where a byte's numbers are `count` elements apart."""
    return lambda numbers: np.moveaxis(numbers.reshape(-1, run // count, count), 1, -1)


def raw(*arrays):
    return np.concatenate([np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays])


def f32(values):
    return np.asarray(values, np.float32)


def fifth_bits(q):
    """32 bits in 4 bytes, element i in bit i."""
    return np.packbits((q >> 4).astype(np.uint8), bitorder="little")


def q4_0():
    d, q = halves(1), bits(32, 4)
    return raw(d, pack(q, strided(32, 16), 4)), f32(d) * f32(q - 8)


def q4_1():
    d, m, q = halves(1), halves(1), bits(32, 4)
    return raw(d, m, pack(q, strided(32, 16), 4)), f32(d) * f32(q) + f32(m)


def q5_0():
    d, q = halves(1), bits(32, 5)
    return raw(d, fifth_bits(q), pack(q & 15, strided(32, 16), 4)), f32(d) * f32(q - 16)


def q5_1():
    d, m, q = halves(1), halves(1), bits(32, 5)
    return raw(d, m, fifth_bits(q), pack(q & 15, strided(32, 16), 4)), f32(d) * f32(q) + f32(m)


def q8_0():
    d, q = halves(1), bits(32, 8).astype(np.uint8).view(np.int8)
    return raw(d, q), f32(d) * f32(q)


def q2_k():
    d, dmin, scale, minimum, q = halves(1), halves(1), bits(16, 4), bits(16, 4), bits(256, 2)
    values = np.repeat(f32(d) * f32(scale), 16) * f32(q) - np.repeat(f32(dmin) * f32(minimum), 16)
    return raw((scale | minimum << 4).astype(np.uint8), pack(q, strided(128, 32), 2), d, dmin), values


def q3_k():
    """scales: the low halves of bytes 0..7 hold the low 4 bits of scales 0..7, the high halves those of 8..15; byte 8 + j
    holds the high 2 bits of scales j, 4 + j, 8 + j, 12 + j."""
    d, scale, q = halves(1), bits(16, 6), bits(256, 3)
    low, high = scale & 15, scale >> 4
    packed = raw((low[:8] | low[8:] << 4).astype(np.uint8), pack(high, strided(16, 4), 2))
    mask = pack(q >> 2, strided(256, 32), 1)
    values = np.repeat(f32(d) * f32(scale - 32), 16) * f32(q - 4)
    return raw(mask, pack(q & 3, strided(128, 32), 2), packed, d), values


def k_scales(scale, minimum):
    """12 bytes: 0..3 scales 0..3, 4..7 minimums 0..3 (6 bits each), 8..11 low 4 bits of scale and minimum 4..7; the high
    2 bits of scales 4..7 are on top of bytes 0..3, those of minimums 4..7 on top of bytes 4..7."""
    return raw((scale[:4] | (scale[4:] >> 4) << 6).astype(np.uint8), (minimum[:4] | (minimum[4:] >> 4) << 6).astype(np.uint8),
               ((scale[4:] & 15) | (minimum[4:] & 15) << 4).astype(np.uint8))


def k_values(d, dmin, scale, minimum, q):
    return np.repeat(f32(d) * f32(scale), 32) * f32(q) - np.repeat(f32(dmin) * f32(minimum), 32)


def q4_k():
    d, dmin, scale, minimum, q = halves(1), halves(1), bits(8, 6), bits(8, 6), bits(256, 4)
    return raw(d, dmin, k_scales(scale, minimum), pack(q, strided(64, 32), 4)), k_values(d, dmin, scale, minimum, q)


def q5_k():
    d, dmin, scale, minimum, q = halves(1), halves(1), bits(8, 6), bits(8, 6), bits(256, 5)
    high = pack(q >> 4, strided(256, 32), 1)
    return (raw(d, dmin, k_scales(scale, minimum), high, pack(q & 15, strided(64, 32), 4)),
            k_values(d, dmin, scale, minimum, q))


def q6_k():
    d, scale, q = halves(1), bits(16, 8).astype(np.uint8).view(np.int8), bits(256, 6)
    values = np.repeat(f32(d) * f32(scale), 16) * f32(q - 32)
    return raw(pack(q & 15, strided(128, 64), 4), pack(q >> 4, strided(128, 32), 2), scale, d), values


def tq1_0():
    """Base 3, the first element the highest digit; a byte is its digits' number n as ceil(n * 256 / 243). The last four
    bytes have four digits, and 0 for the fifth."""
    d, t = halves(1), rng.integers(0, 3, 256)
    long, middle, short = t[:160].reshape(5, 32), t[160:240].reshape(5, 16), t[240:].reshape(4, 4)
    packed = []
    for digits in (long, middle, np.vstack([short, np.zeros((1, 4), int)])):
        number = sum(digits[place] * 3 ** (4 - place) for place in range(5))
        packed.append(((number * 256 + 242) // 243).astype(np.uint8))
    return raw(*packed, d), f32(d) * f32(t - 1)


def tq2_0():
    d, t = halves(1), rng.integers(0, 3, 256)
    return raw(pack(t, strided(128, 32), 2), d), f32(d) * f32(t - 1)


def trailer(scale):
    """32 bytes: the scale, then bytes that mean nothing."""
    return raw(np.float32([scale]).astype("<f4"), bits(28, 8).astype(np.uint8))


def i2_s(block):
    """block weights in block / 4 bytes, the first quarter of them in the highest bits."""
    rows, columns, scale = 4, 256, np.float32(0.0372)
    t = rng.integers(0, 3, (rows, columns))
    quarters = t.reshape(-1, 4, block // 4)
    payload = quarters[:, 0] << 6 | quarters[:, 1] << 4 | quarters[:, 2] << 2 | quarters[:, 3]
    return (columns, rows), raw(payload.astype(np.uint8), trailer(scale)), f32(t - 1) * scale


def tl1(rows, columns, tile_rows, tile_columns, inner_rows):
    """Pairs of columns as nibbles 3a + b + 4, [rows, columns / 2], cut up along both axes and the pieces reordered."""
    scale = np.float32(1.75)
    t = rng.integers(-1, 2, (rows, columns))
    step = 256 // inner_rows
    nibbles = 3 * t[:, 0::2] + t[:, 1::2] + 4
    cut = nibbles.reshape(rows // tile_rows, tile_rows // inner_rows, inner_rows // 16, 16,
                          columns // tile_columns, tile_columns // step, step // 4, 2)
    tile, inner, sixteen, lane, tile_column, step_column, quad, high_low = range(8)
    ordered = cut.transpose(tile, tile_column, inner, step_column, sixteen, quad, lane, high_low)
    payload = (ordered[..., 0] << 4 | ordered[..., 1]).astype(np.uint8)
    return (columns, rows), raw(payload, trailer(scale)), f32(t) * scale


def floats():
    """Zeros of both signs, infinities, NaN, the smallest and the largest, and random ones."""
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 2.0 ** -24, -(2.0 ** -14), 65504.0]
    return np.concatenate([np.float64(special), rng.standard_normal(24) * 10.0 ** rng.integers(-4, 4, 24)])


def vector(name, kind, dims, data, values, **extra):
    encode = lambda array: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"name": name, "type": kind, "ggmlDims": list(dims), **extra, "bytes": encode(data),
            "values": encode(np.asarray(values, "<f4"))}


def main():
    f4, f2 = floats().astype("<f4"), floats().astype("<f2")
    upper = bits(32, 16).astype("<u2")
    vectors = [
        vector("F32", "F32", [32], raw(f4), f4),
        vector("F16", "F16", [32], raw(f2), f2),
        vector("BF16", "BF16", [32], raw(upper), (upper.astype("<u4") << 16).view("<f4")),
    ]
    for make in (q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, tq1_0, tq2_0):
        kind = make.__name__.upper()
        blocks = [make() for _ in range(BLOCKS)]
        elements = BLOCKS * (256 if kind.endswith("_K") or kind.startswith("T") else 32)
        vectors.append(vector(kind, kind, [elements], raw(*(b for b, _ in blocks)), np.concatenate([v for _, v in blocks])))
    for block, layout in ((128, "128x32"), (64, "64x16")):
        vectors.append(vector(f"I2_S {layout}", "I2_S", *i2_s(block), i2sLayout=layout))
    for rows, columns, *tiling in ((64, 128, 32, 64, 32), (128, 64, 64, 32, 64), (32, 192, 32, 192, 32)):
        names = dict(zip(("tileRows", "tileColumns", "innerRows"), tiling))
        title = f"TL1 {rows}x{columns} {tiling}"
        vectors.append(vector(title, "TL1", *tl1(rows, columns, *tiling), tl1Tiling=names))
    with open(sys.argv[1], "w") as file:
        json.dump(vectors, file, indent=1)
        file.write("\n")


main()
