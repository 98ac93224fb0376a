#!/usr/bin/env python3
"""Print the random numbers that packages/engine/src/sampling.test.ts pins: SEED, then the first four for it.

    python3 tools/oracle/make-vectors-random.py

Written from the published algorithms, not from the engine: splitmix32 (constants 0x21f0aaad, 0x735a2d97) fills the state
of xoshiro128** (https://prng.di.unimi.it/xoshiro128starstar.c); 27 bits of one draw and 26 of the next make a number.
"""
MASK = 2**32 - 1


def rotl(x, k):
    return (x << k | x >> (32 - k)) & MASK


def xoshiro128_star_star(s):
    while True:
        yield rotl(s[1] * 5 & MASK, 7) * 9 & MASK
        t = s[1] << 9 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)


def splitmix32(seed):
    while True:
        seed = (seed + 0x9E3779B9) & MASK
        z = seed
        z = (z ^ z >> 16) * 0x21F0AAAD & MASK
        z = (z ^ z >> 15) * 0x735A2D97 & MASK
        yield z ^ z >> 15


def numbers(seed, count):
    mix = splitmix32(seed)
    draws = xoshiro128_star_star([next(mix) for _ in range(4)])
    return [((next(draws) >> 5) * 2**26 + (next(draws) >> 6)) / 2**53 for _ in range(count)]


if __name__ == "__main__":
    draws = xoshiro128_star_star([1, 2, 3, 4])                       # the values that the crate rand_xoshiro tests
    assert [next(draws) for _ in range(4)] == [11520, 0, 5927040, 70819200]
    for seed in (0, 1, 42, MASK):
        print(seed, numbers(seed, 4))
