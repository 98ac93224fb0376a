#!/usr/bin/env python3
"""Golden values for single kernels, from the oracle's own functions: the same bytes for each run.

    python3 make-kernel-vectors.py ../../packages/kernels/test/vectors/kernels.json
"""
import base64
import json
import sys
import numpy as np
from oracle import dot_blas, dot_f16, exp_reference, fma, quantize_row, rms_norm, rope, sin_cos, to_f16

f32 = np.float32
rng = np.random.Generator(np.random.SFC64(11))


def array(values):
    values = np.ascontiguousarray(values)
    return {"type": values.dtype.str, "shape": list(values.shape), "base64": base64.b64encode(values.tobytes()).decode()}


def normal(*shape, scale=1):
    return (rng.standard_normal(shape) * scale).astype(f32)


def exponentials():
    x = np.concatenate([np.linspace(-140, 140, 1501), normal(500, scale=10), [0, -0.0, np.inf, -np.inf, np.nan, -103.97, -87.34, 88.72]]).astype(f32)
    return {"x": array(x), **{f"exp{lanes}": array(exp_reference(x, lanes)) for lanes in (8, 16)}}


def angles():
    """RoPE rotates (1, 0) to (cos, sin); positions run past 120, where the argument reduction changes."""
    out = []
    for base, head_dim, positions in ((10000.0, 64, [0, 1, 119, 120, 121, 4095]), (500000.0, 128, [1, 700, 4095])):
        x = np.zeros((len(positions), 1, head_dim), f32)
        x[..., : head_dim // 2] = 1
        y = rope(x, np.array(positions), base)
        random = normal(len(positions), 2, head_dim)
        out.append({"base": base, "headDim": head_dim, "positions": positions, "unit": array(y), "x": array(random),
                    "rotated": array(rope(random, np.array(positions), base))})
    return out


def products():
    out = []
    for width in (32, 96, 160, 256):
        a, b = normal(6, width).astype(np.float16), normal(3, width, scale=3)
        entry = {"a": array(a.view(np.uint16)), "b": array(b)}
        for lanes in (8, 16):
            entry[f"dotF16_{lanes}"] = array(dot_f16(a, to_f16(b), lanes))
            entry[f"dotBlas_{lanes}"] = array(dot_blas(a, b, lanes))
        out.append(entry)
    return out


def fused():
    """Half of the sums lie exactly half-way between two f32 before the last bits of the product are added."""
    n = 2000
    a, b, c = normal(n), normal(n), normal(n)
    c[::2] = np.abs(c[::2]) + 1
    half_ulp = (2.0 ** (np.floor(np.log2(c[::2])) - 24)).astype(f32)
    a[::2] = half_ulp * (1 + 2.0**-23 * rng.integers(0, 3, n // 2)).astype(f32)
    b[::2] = 1 - (2.0**-24 * rng.integers(0, 3, n // 2)).astype(f32)
    return {"a": array(a), "b": array(b), "c": array(c), "fma": array(fma(a, b, c))}


def rows():
    out = []
    for width, scale in ((128, 1), (768, 300), (256, 1e-7)):
        x = normal(3, width, scale=scale)
        values, scales = quantize_row(x)
        weight = normal(width)
        normalized, weighted = rms_norm(x, weight, 1e-5)
        out.append({"x": array(x), "values": array(values.astype(np.int8)), "scales": array(scales), "weight": array(weight),
                    "normalized": array(normalized), "weighted": array(weighted)})
    return out


def main():
    vectors = {"source": "tools/oracle/make-kernel-vectors.py", "exponentials": exponentials(), "angles": angles(), "products": products(),
               "fused": fused(), "rows": rows()}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(vectors, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
