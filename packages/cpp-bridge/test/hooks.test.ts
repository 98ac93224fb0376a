import { expect, test } from 'vitest';
import { quantizeRows, reluSquaredGate, roundToHalf } from '../src/hooks.ts';
import { floatsOfHalves } from '../src/translate/half-floats.ts';

/** Every f16 that is a number, in ascending order, from 0. */
const HALVES = floatsOfHalves(new Uint8Array(Uint16Array.from({ length: 0x7c00 }, (_, bits) => bits).buffer));

test('f16 is read right at its edges', () => {
  expect(HALVES[1]).toBe(2 ** -24);
  expect(HALVES[0x3c00]).toBe(1);
  expect(HALVES.at(-1)).toBe(65504);
  const special = floatsOfHalves(Uint8Array.of(0, 0x7c, 0, 0xfc, 1, 0x7c, 0, 0x80));
  expect([...special]).toEqual([Infinity, -Infinity, NaN, -0]);
});

test('rounding to f16 finds the nearest of all of them, ties to the even one', () => {
  const wrong: string[] = [];
  for (let index = 0; index + 1 < HALVES.length; index++) {
    const [low, high] = [HALVES[index]!, HALVES[index + 1]!];
    const middle = (low + high) / 2;
    const even = index % 2 === 0 ? low : high;
    // The f32 numbers beside the middle; the middle itself is one, with a bit more than f16 has.
    const [below, above] = [middle * (1 - 2 ** -23), middle * (1 + 2 ** -23)];
    const rounded = roundToHalf(Float32Array.of(low, below, middle, above, -middle));
    if (![low, low, even, high, -even].every((value, at) => Object.is(rounded[at], value))) {
      wrong.push(`Between ${low} and ${high}: ${rounded.join(', ')}`);
    }
  }
  expect(wrong).toEqual([]);
  expect([...roundToHalf(Float32Array.of(65519.99, 65520, -1e30, NaN, -0, 1e-30))]).toEqual([
    65504,
    Infinity,
    -Infinity,
    NaN,
    -0,
    0,
  ]);
});

test('rows are quantized by their own largest magnitude, ties to even', () => {
  const { codes, inverseScales } = quantizeRows(Float32Array.of(127, 0.5, 1.5, -2.5, 0.25, -0.5, 0, 0.125), 4);
  expect([...inverseScales]).toEqual([1, 254]);
  expect([...codes]).toEqual([127, 0, 2, -2, 64, -127, 0, 32]);
});

test('a row of zeros has the scale of 1e-5, and a NaN spoils its row only', () => {
  const { codes, inverseScales } = quantizeRows(Float32Array.of(0, 0, NaN, 1), 2);
  expect([...codes]).toEqual([0, 0, NaN, NaN]);
  expect(inverseScales[0]).toBe(Math.fround(127 / 1e-5));
  expect(() => quantizeRows(new Float32Array(5), 2)).toThrow(RangeError);
});

test('the squared gate is zero below zero, and keeps a NaN', () => {
  expect([...reluSquaredGate(Float32Array.of(3, -3, 0, NaN), Float32Array.of(2, 2, 2, 2))]).toEqual([18, 0, 0, NaN]);
});
