import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { GgufFile } from '../src/index.ts';
import { GgufError, openGguf } from '../src/index.ts';
import * as b from './builder.ts';

const { VALUE } = b;
const seed = Math.floor(Math.random() * 2 ** 31);

/** Numbers that break readers: zero, small, powers of two and their neighbours, huge. */
const evilNumbers = [0n, 1n, 4n, 9n, 13n, 255n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

type Mutation = (bytes: Uint8Array) => Uint8Array;

function at(bytes: Uint8Array, position: number): number {
  return position % (bytes.byteLength + 1);
}

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat(255)).map(
    ([position, byte]): Mutation =>
      (bytes) =>
        bytes.with(position % bytes.length, byte),
  ),
  fc.tuple(fc.nat(), fc.constantFrom(...evilNumbers)).map(([position, value]): Mutation => (bytes) => {
    const changed = Uint8Array.from(bytes);
    const start = position % Math.max(1, bytes.length - 8);
    changed.set(b.u64(value).subarray(0, bytes.length - start), start);
    return changed;
  }),
  fc.nat().map(
    (position): Mutation =>
      (bytes) =>
        bytes.slice(0, Math.max(1, at(bytes, position))),
  ),
  fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 16 })).map(
    ([position, inserted]): Mutation =>
      (bytes) =>
        b.concat(bytes.subarray(0, at(bytes, position)), inserted, bytes.subarray(at(bytes, position))),
  ),
);

/** Text that is not UTF-8 may be found out late; nothing else may. */
function readAllMetadata({ metadata }: GgufFile): void {
  for (const key of metadata.keys()) {
    try {
      metadata.get(key);
    } catch (error) {
      expect(error).toMatchObject({ name: 'GgufError', code: 'GGUF_BAD_UTF8' });
    }
  }
}

/** Fails for any other error than a GgufError too: that has no tensors. */
async function expectConsistent(outcome: unknown): Promise<void> {
  expect(outcome).toHaveProperty('tensors');
  const gguf = outcome as GgufFile;
  readAllMetadata(gguf);
  for (const tensor of gguf.tensors.values()) {
    expect(tensor.offsetBytes % gguf.alignment).toBe(gguf.dataOffsetBytes % gguf.alignment);
    expect(tensor.elementCount).toBe(tensor.shape.reduce((product, dim) => product * dim, 1));
    expect(await gguf.readTensor(tensor.name)).toHaveLength(tensor.sizeBytes);
  }
}

/** What reads or allocates gigabytes because a length says so takes longer. */
const MOST_MS = 2_000;

test(
  `20,000 damaged files are either consistent or refused with a GgufError (seed ${seed})`,
  { timeout: 120_000 },
  async () => {
    const whole = b.smallFile();
    const prototypes = [Object.prototype, Array.prototype, Map.prototype].map((object) => Reflect.ownKeys(object));
    const outcomes = { opened: 0, refused: 0 };
    const heapBefore = process.memoryUsage().arrayBuffers;
    let mostBytes = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const bytes = mutations.reduce((changed: Uint8Array, mutate) => mutate(changed), whole);
        const start = performance.now();
        const outcome = await openGguf(bytes).catch((error: unknown) => error);
        expect(performance.now() - start).toBeLessThan(MOST_MS);
        mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - heapBefore);
        if (outcome instanceof GgufError) {
          outcomes.refused += 1;
          return;
        }
        await expectConsistent(outcome);
        outcomes.opened += 1;
      }),
      { seed, numRuns: 20_000 },
    );
    // Both must happen, or the mutations test nothing.
    expect(outcomes.opened).toBeGreaterThan(500);
    expect(outcomes.refused).toBeGreaterThan(500);
    expect(mostBytes).toBeLessThan(512 * 2 ** 20);
    expect([Object.prototype, Array.prototype, Map.prototype].map((object) => Reflect.ownKeys(object))).toEqual(
      prototypes,
    );
  },
);

interface Sample {
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly value: unknown;
}

function samples<T>(type: number, values: fc.Arbitrary<T>, write: (value: T) => Uint8Array): fc.Arbitrary<Sample> {
  return values.map((value) => ({ type, bytes: write(value), value }));
}

/** A u64 or i64 comes back as a number where that is exact; an array of them stays as it is. */
function narrow(sample: Sample): Sample {
  const number = Number(sample.value);
  return typeof sample.value === 'bigint' && Number.isSafeInteger(number) ? { ...sample, value: number } : sample;
}

const scalars = [
  samples(VALUE.u8, fc.nat(255), b.u8),
  samples(VALUE.i8, fc.integer({ min: -128, max: 127 }), b.i8),
  samples(VALUE.u16, fc.nat(65_535), b.u16),
  samples(VALUE.i16, fc.integer({ min: -32_768, max: 32_767 }), b.i16),
  samples(VALUE.u32, fc.nat(2 ** 32 - 1), b.u32),
  samples(VALUE.i32, fc.integer(), b.i32),
  samples(VALUE.f32, fc.float(), b.f32),
  samples(VALUE.f64, fc.double(), b.f64),
  samples(VALUE.bool, fc.boolean(), (value) => b.u8(value ? 1 : 0)),
  samples(VALUE.string, fc.string({ unit: 'binary' }), b.string),
  samples(VALUE.u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), b.u64),
  samples(VALUE.i64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), b.i64),
];

function arrays(element: fc.Arbitrary<Sample>): fc.Arbitrary<Sample> {
  return fc.array(element, { minLength: 1, maxLength: 8 }).map((elements) => ({
    type: VALUE.array,
    bytes: b.array(
      elements[0]!.type,
      elements.map((sample) => sample.bytes),
    ),
    value: elements.map((sample) => sample.value),
  }));
}

const flatArrays = fc.oneof(...scalars.map(arrays));
const anyValue = fc.oneof(fc.oneof(...scalars).map(narrow), flatArrays, arrays(flatArrays), arrays(arrays(flatArrays)));

/** Typed arrays as plain ones, inside nested arrays too. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    return Array.from(value as unknown as Iterable<unknown>);
  }
  return Array.isArray(value) ? value.map(plain) : value;
}

test(`what is written is read (seed ${seed})`, { timeout: 60_000 }, async () => {
  const key = fc.string({ unit: 'binary', minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.tuple(key, anyValue), { selector: ([name]) => name }), async (pairs) => {
      const metadata = pairs.map(([name, sample]) => b.entry(name, sample.type, sample.bytes));
      const gguf = await openGguf(b.file({ metadata }));
      expect([...gguf.metadata.keys()]).toEqual(pairs.map(([name]) => name));
      for (const [name, sample] of pairs) {
        expect(plain(gguf.metadata.get(name))).toStrictEqual(sample.value);
      }
    }),
    { seed, numRuns: 300 },
  );
});
