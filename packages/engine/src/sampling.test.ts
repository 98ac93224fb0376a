import { describe, expect, test } from 'vitest';
import { argmax } from './decode.ts';
import { createSampler, exponential, randomNumbers } from './sampling.ts';

/** Logits of 200 ids without any order, no two equal. */
const LOGITS = Float32Array.from({ length: 200 }, (_, id) => Math.sin(id * 12.9898) * 4);

function draw(options: Parameters<typeof createSampler>[0], logits: Float32Array, count: number): number[] {
  const sampler = createSampler(options);
  return Array.from({ length: count }, () => sampler(logits));
}

describe('randomNumbers', () => {
  // python3 tools/oracle/make-vectors-random.py
  test.each([
    [0, [0.41675133265905573, 0.5870561741002205, 0.2650367332581032, 0.44226437408135244]],
    [1, [0.09156953175513294, 0.8881928137485323, 0.43427017709149285, 0.746779782068075]],
    [42, [0.15377165265745885, 0.018084542542176507, 0.5348906284683476, 0.7272476959257951]],
    [4294967295, [0.9555830018603452, 0.2682696548492096, 0.8580147783595625, 0.968965302034608]],
  ])('from seed %d', (seed, numbers) => {
    const random = randomNumbers(seed);
    expect(numbers.map(() => random())).toEqual(numbers);
  });

  test('stay in [0, 1) and fill it evenly', () => {
    const random = randomNumbers(7);
    const counts = new Uint32Array(10);
    for (let index = 0; index < 100_000; index++) {
      const value = random();
      if (!(value >= 0 && value < 1)) throw new Error(`${value} is not in [0, 1)`);
      counts[Math.floor(value * 10)]! += 1;
    }
    // 10 000 each, standard deviation 95
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });
});

describe('exponential', () => {
  test('is within 2e-15 of Math.exp', () => {
    let compared = 0;
    for (let x = -690; x <= 0; x += 0.00731) {
      const exact = Math.exp(x);
      const error = Math.abs(exponential(x) - exact) / exact;
      if (!(error <= 2e-15)) throw new Error(`exponential(${x}) is off by ${error}`);
      compared += 1;
    }
    expect(compared).toBe(94_392);
  });

  test('has the ends that softmax needs', () => {
    expect(exponential(0)).toBe(1);
    expect(exponential(-0)).toBe(1);
    expect(exponential(-Number.MIN_VALUE)).toBe(1);
    expect(exponential(-690)).toBeGreaterThan(0);
    expect(exponential(-691)).toBe(0);
    expect(exponential(-Infinity)).toBe(0);
  });
});

describe('createSampler', () => {
  test('the same seed gives the same ids, another seed others', () => {
    const first = draw({ seed: 1 }, LOGITS, 50);
    expect(draw({ seed: 1 }, LOGITS, 50)).toEqual(first);
    expect(draw({ seed: 2 }, LOGITS, 50)).not.toEqual(first);
  });

  test('pinned: these ids on every platform', () => {
    expect(draw({ seed: 42 }, LOGITS, 12)).toEqual([182, 167, 34, 153, 196, 4, 79, 197, 19, 92, 62, 19]);
  });

  test('temperature 0 is argmax', () => {
    expect(draw({ temperature: 0, seed: 3 }, LOGITS, 3)).toEqual([argmax(LOGITS), argmax(LOGITS), argmax(LOGITS)]);
    expect(draw({ temperature: 0, seed: 3 }, Float32Array.of(1, 2, 2), 1)).toEqual([1]);
  });

  test('a temperature near 0 nearly so', () => {
    expect(new Set(draw({ temperature: 1e-6, seed: 3 }, LOGITS, 100))).toEqual(new Set([argmax(LOGITS)]));
  });

  test.each([1, 2, 3, 40, 199])('topK %d gives the largest logits only, and all of them', (topK) => {
    const allowed = [...LOGITS.keys()].toSorted((a, b) => LOGITS[b]! - LOGITS[a]!).slice(0, topK);
    const drawn = new Set(draw({ temperature: 50, topK, seed: 5 }, LOGITS, 40 * topK));
    expect([...drawn].toSorted((a, b) => a - b)).toEqual(allowed.toSorted((a, b) => a - b));
  });

  test.each([0, 200, 1000])('topK %d gives every id', (topK) => {
    expect(new Set(draw({ temperature: 50, topK, seed: 5 }, LOGITS, 8000)).size).toBe(200);
  });

  test('among equal logits the lowest ids take part', () => {
    const logits = Float32Array.of(0, 3, 1, 3, 3, 3);
    expect(new Set(draw({ topK: 2, seed: 5 }, logits, 100))).toEqual(new Set([1, 3]));
    expect(new Set(draw({ topK: 3, seed: 5 }, logits, 100))).toEqual(new Set([1, 3, 4]));
    expect(new Set(draw({ topK: 2, seed: 5 }, Float32Array.of(3, 3, 4), 100))).toEqual(new Set([0, 2]));
  });

  test('probabilities are those of softmax at the temperature', () => {
    const probabilities = [0.5, 0.3, 0.15, 0.05];
    const temperature = 2;
    const logits = Float32Array.from(probabilities, (probability) => temperature * Math.log(probability) + 7);
    const counts = [0, 0, 0, 0];
    for (const id of draw({ temperature, topK: 0, seed: 11 }, logits, 40_000)) counts[id]! += 1;
    // 5 standard deviations
    for (const [id, probability] of probabilities.entries()) {
      const expected = 40_000 * probability;
      expect(Math.abs(counts[id]! - expected)).toBeLessThan(5 * Math.sqrt(expected * (1 - probability)));
    }
  });

  describe('cuts', () => {
    // Probabilities 0.5, 0.3, 0.15, 0.05
    const four = Float32Array.from([0.5, 0.3, 0.15, 0.05], (probability) => Math.log(probability));
    const drawn = (options: Omit<Parameters<typeof createSampler>[0], 'seed'>): number[] =>
      [...new Set(draw({ temperature: 1, ...options, seed: 3 }, four, 400))].toSorted((a, b) => a - b);

    test.each([
      [{ topP: 0.01 }, [0]],
      [{ topP: 0.49 }, [0]],
      [{ topP: 0.51 }, [0, 1]],
      [{ topP: 0.79 }, [0, 1]],
      [{ topP: 0.81 }, [0, 1, 2]],
      [{ topP: 0.96 }, [0, 1, 2, 3]],
      [{ topP: 1 }, [0, 1, 2, 3]],
      [{ minP: 1 }, [0]],
      [{ minP: 0.61 }, [0]],
      [{ minP: 0.59 }, [0, 1]],
      [{ minP: 0.29 }, [0, 1, 2]],
      [{ minP: 0 }, [0, 1, 2, 3]],
      // Before the temperature: as hot as it may be, the same ones take part.
      [{ topP: 0.81, temperature: 100 }, [0, 1, 2]],
      [{ minP: 0.29, temperature: 100 }, [0, 1, 2]],
      // Of what topK left: 0.5 and 0.3 of 0.8
      [{ topK: 2, topP: 0.62 }, [0]],
      [{ topK: 2, topP: 0.63 }, [0, 1]],
      [{ topP: 0.9, minP: 0.5 }, [0, 1]],
    ])('%j leave %j', (options, ids) => {
      expect(drawn(options)).toEqual(ids);
    });

    test('what is left is drawn by its own probabilities', () => {
      const ids = draw({ temperature: 1, topP: 0.79, seed: 9 }, four, 40_000);
      const expected = (40_000 * 0.5) / 0.8;
      const zeros = ids.filter((id) => id === 0).length;
      expect(Math.abs(zeros - expected)).toBeLessThan(5 * Math.sqrt(expected * (3 / 8)));
    });
  });

  describe('repetitionPenalty', () => {
    const logits = Float32Array.of(4, 3, -1, 2);

    test('divides positive logits, multiplies negative ones, and leaves the row alone', () => {
      const greedy = createSampler({ temperature: 0, repetitionPenalty: 2, seed: 0 });
      expect(greedy(logits, [])).toBe(0);
      expect(greedy(logits, [0])).toBe(1); // 2, 3, -1, 2
      expect(greedy(logits, [0, 0, 0])).toBe(1); // once, however often
      expect(greedy(logits, [0, 1])).toBe(0); // 2, 1.5, -1, 2
      expect(greedy(Float32Array.of(-4, -3), [1])).toBe(0); // -4, -6
      expect([...logits]).toEqual([4, 3, -1, 2]);
      expect(greedy(logits)).toBe(0); // nothing stays from call to call
    });

    test('of the last 64 ids', () => {
      const greedy = createSampler({ temperature: 0, repetitionPenalty: 2, seed: 0 });
      expect(greedy(logits, [0, ...Array<number>(63).fill(2)])).toBe(1);
      expect(greedy(logits, [0, ...Array<number>(64).fill(2)])).toBe(0);
    });

    test('comes before everything else', () => {
      const ids = [
        ...new Set(
          Array.from({ length: 50 }, (_, seed) => {
            return createSampler({ topK: 1, repetitionPenalty: 2, seed })(logits, [0]);
          }),
        ),
      ];
      expect(ids).toEqual([1]);
    });
  });

  test('a logit far below the largest is never drawn', () => {
    expect(new Set(draw({ temperature: 1, seed: 1 }, Float32Array.of(-3e38, 3e38), 100))).toEqual(new Set([1]));
  });

  test.each([Number.NaN, Infinity, -Infinity])('%d anywhere is an error', (bad) => {
    for (const temperature of [0, 1]) {
      for (const at of [0, 100, 199]) {
        const logits = LOGITS.slice();
        logits[at] = bad;
        const sampler = createSampler({ temperature, topK: 2, seed: 1 });
        expect(() => sampler(logits)).toThrow(expect.objectContaining({ code: 'ENGINE_NOT_FINITE' }));
      }
    }
  });

  test.each([
    { temperature: -1 },
    { temperature: Number.NaN },
    { temperature: Infinity },
    { topK: -1 },
    { topK: 1.5 },
    { topK: Number.NaN },
    { topP: 0 },
    { topP: 1.01 },
    { topP: Number.NaN },
    { minP: -0.1 },
    { minP: 1.1 },
    { minP: Number.NaN },
    { repetitionPenalty: 0 },
    { repetitionPenalty: -1 },
    { repetitionPenalty: Infinity },
    { repetitionPenalty: Number.NaN },
    { seed: -1 },
    { seed: 2 ** 32 },
    { seed: 0.5 },
    { seed: Number.NaN },
  ])('%j is refused', (options) => {
    expect(() => createSampler({ seed: 1, ...options })).toThrow(RangeError);
  });
});
