import { describe, expect, test } from 'vitest';
import { verifyReceipt, type VerifyOptions } from '../src/index.ts';
import {
  edit,
  EXACT,
  failedGates,
  forge,
  forgeParity,
  type Forgery,
  MIXED,
  PARITY,
  type ParityForgery,
  SCREENED,
  seal,
} from './forge.ts';

type Change = (receipt: Forgery, p: Forgery['predicate']) => void;
type Counter = Forgery['predicate']['counters']['decode'][number];

/** All linear layers of a type become those of another. */
function retype({ model }: Forgery['predicate'], from: string, to: 'TL1' | 'F16' | 'Q8_0'): void {
  for (const { count: _count, ...linears } of model.weights.layers) {
    for (const linear of Object.values(linears)) if (linear.type === from) linear.type = to;
  }
}

/** With weights, and in the shape. */
function addLayers({ model }: Forgery['predicate'], count: number): void {
  model.weights.layers[0]!.count += count;
  model.config.blockCount += count;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function kernelMs(counters: readonly Counter[]): number {
  return sum(counters.map(({ nanoseconds }) => nanoseconds)) / 1e6;
}

/** The counter of a kernel in decoding. */
function decoded({ counters }: Forgery['predicate'], prefix: string): Counter {
  return counters.decode.find(({ id }) => id.startsWith(prefix))!;
}

async function expectRejected(bytes: Uint8Array, gates: readonly string[], options?: VerifyOptions): Promise<void> {
  const report = await verifyReceipt(bytes, options);
  expect({ verdict: report.verdict, failed: failedGates(report) }).toEqual({ verdict: 'fail', failed: gates });
}

test.each([
  ['exact head', EXACT],
  ['screened head', SCREENED],
  ['many types of weights, f32 cache', MIXED],
])('the receipts that the forgeries are made of pass: %s', async (_, bytes) => {
  const { verdict, gates } = await verifyReceipt(bytes);
  expect({ verdict, failed: gates.filter(({ status }) => status === 'fail') }).toEqual({ verdict: 'pass', failed: [] });
  const forged = await verifyReceipt(forge(() => {}, bytes));
  expect(forged.gates).toEqual(gates);
});

test('several samples of a limit for each run pass, and the fastest counts', async () => {
  const slow = forge((_, { limits }) => {
    for (const { ms } of [...limits.reads, ...limits.dots]) for (let at = ms.length; at < 16; at++) ms.push(1000);
  });
  expect(failedGates(await verifyReceipt(slow))).toEqual([]);
});

describe('no receipt at all', () => {
  const text = EXACT.toString();
  test.each<[string, string | Buffer]>([
    ['an empty file', ''],
    ['no JSON', 'receipt'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a number', '1'],
    ['cut', text.slice(0, -100)],
    ['a byte order mark', `\uFEFF${text}`],
    ['UTF-16', Buffer.from(text, 'utf16le')],
    ['bytes that are not UTF-8', Buffer.concat([EXACT.subarray(0, 20), Buffer.of(0xff), EXACT.subarray(20)])],
    [
      'the receipt of a run that decoded nothing, of the system that we replace',
      JSON.stringify({
        schema_version: '1.0.0',
        compute_path: 'real',
        backend: 'cpu',
        deterministic: true,
        tokens_requested: 1,
        tokens_generated: 1,
        tokens_per_second: 0,
        kernels: ['embedding_lookup', 'prefill_forward', 'i2s_gemv'],
      }),
    ],
    ['deep', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['more than 8 MiB', Buffer.alloc((8 << 20) + 1, ' ')],
    ['deeper than any', text.replace('"flags":[]', `"flags":${'['.repeat(6)}${']'.repeat(6)}`)],
  ])('%s', async (_, bytes) => {
    await expectRejected(Buffer.from(bytes), ['schema']);
  });

  test('every part of one, from its beginning', async () => {
    for (let length = 0; length < EXACT.length - 1; length += 97) {
      await expectRejected(EXACT.subarray(0, length), ['schema']);
    }
  });
});

test('what nests deeper than a receipt is refused before it is parsed, and brackets in its text are none', async () => {
  const deep = await verifyReceipt(Buffer.from(`${'['.repeat(9)}${']'.repeat(9)}`));
  expect(deep.gates[0]!.reason).toContain('nests deeper than 8');
  const text = await verifyReceipt(forge((_, p) => (p.host.cpu = '"\\[[[[[[[[[[{{{{{{{{{{')));
  expect(failedGates(text)).toEqual([]);
});

test('what is quoted of a receipt is cut', async () => {
  const long = 'x'.repeat(4000);
  const reports = await Promise.all([
    verifyReceipt(edit((_, p) => void Object.assign(p, { [long]: 1 }))),
    verifyReceipt(forge((r) => Object.assign(r, { predicateType: long }))),
    verifyReceipt(forge((_, p) => (p.kernels.binary = long))),
    verifyReceipt(forge((_, p) => (p.parity!.reference.version = long))),
    verifyReceipt(forge((_, p) => (p.parity!.failures = Array.from({ length: 100 }, () => 'GREEDY_DIFFERS')))),
    verifyReceipt(
      forge((_, p) => Object.assign(p.tool, { name: long, version: long })),
      { binaries: {} },
    ),
  ]);
  for (const { gates } of reports) for (const { reason } of gates) expect(reason.length).toBeLessThan(1000);
});

describe('against the schema', () => {
  /** @param insert - text in place of the first sample */
  const sample = (insert: string): Buffer =>
    Buffer.from(EXACT.toString().replace(/"prefillMs":[\d.]+/, `"prefillMs":${insert}`));

  test.each([
    ['NaN', 'NaN'],
    ['Infinity', 'Infinity'],
    ['more than a double holds', '1e999'],
    ['huge', '1e300'],
    ['negative', '-1'],
    ['zero', '0'],
    ['null', 'null'],
    ['a string', '"1.5"'],
  ])('a sample is %s', async (_, text) => {
    await expectRejected(sample(text), ['schema']);
  });

  test.each<[string, Change]>([
    ['another version', (_, p) => Object.assign(p, { version: 2 })],
    ['another predicate', (r) => Object.assign(r, { predicateType: 'urn:bittern:receipt:v2' })],
    ['another statement', (r) => Object.assign(r, { _type: 'https://in-toto.io/Statement/v0.1' })],
    ['a verdict about itself', (_, p) => Object.assign(p, { verdict: 'pass' })],
    ['a compute path of its own', (_, p) => Object.assign(p, { compute_path: 'real' })],
    ['an unknown field beside the predicate', (r) => Object.assign(r, { note: '' })],
    ['an unknown field of a kernel', (_, p) => Object.assign(p.counters.decode[0]!, { fallback: false })],
    ['no limits', (_, p) => Reflect.deleteProperty(p, 'limits')],
    ['limits without samples', (_, p) => (p.limits.reads[0]!.ms = [])],
    ['no limit of arithmetic', (_, p) => (p.limits.dots = [])],
    ['no counters', (_, p) => Reflect.deleteProperty(p, 'counters')],
    ['no runs', (_, p) => (p.runs = [])],
    ['no host', (_, p) => Reflect.deleteProperty(p, 'host')],
    ['a negative count', (_, p) => (p.counters.decode[0]!.bytes = -1)],
    ['half a call', (_, p) => (p.counters.decode[0]!.calls += 0.5)],
    ['no calls', (_, p) => (p.counters.decode[0]!.calls = 0)],
    ['a count beyond 2^53', (_, p) => (p.counters.decode[0]!.bytes = 2 ** 60)],
    ['a shape of zero', (_, p) => (p.model.config.blockCount = 0)],
    ['a digest in capitals', (_, p) => (p.kernels.sha256 = p.kernels.sha256.toUpperCase())],
    ['a negative id', (_, p) => (p.generated.ids[0] = -1)],
    ['no subjects', (r) => (r.subject = [])],
    ['a date that is none', (_, p) => (p.created = 'today')],
    ['the 31st of February', (_, p) => (p.created = '2026-02-31T00:00:00.000Z')],
    ['a month that is none', (_, p) => (p.created = '2026-13-01T00:00:00.000Z')],
    ['an hour that is none', (_, p) => (p.created = '2026-01-01T24:00:00.000Z')],
    ['a load of no time', (_, p) => (p.loadMs = 0)],
    ['a load of more than a day', (_, p) => (p.loadMs = 86_400_001)],
    ['a device that is none', (_, p) => Object.assign(p, { device: 'cuda' })],
    ['text with half a character', (_, p) => (p.prompt.text = '\ud800')],
    ['an empty name', (_, p) => (p.host.cpu = '')],
  ])('%s', async (_, change) => {
    await expectRejected(forge(change), ['schema']);
  });

  test('a prototype', async () => {
    await expectRejected(Buffer.from(EXACT.toString().replace('"cores"', '"__proto__":{"cores":1},"cores"')), [
      'schema',
    ]);
  });

  test('every field is needed, and no other is known', async () => {
    let fields = 0;
    const walk = async (path: readonly string[], value: unknown): Promise<void> => {
      if (typeof value !== 'object' || value === null) return;
      const keys = Array.isArray(value) ? ['0'] : Object.keys(value);
      for (const key of keys) await walk([...path, key], (value as Record<string, unknown>)[key]);
      if (Array.isArray(value)) return;
      const at = (receipt: object): object =>
        path.reduce((part, key) => (part as Record<string, object>)[key]!, receipt);
      for (const key of keys) {
        fields++;
        await expectRejected(
          edit((receipt) => void Reflect.deleteProperty(at(receipt), key)),
          ['schema'],
        );
      }
      await expectRejected(
        edit((receipt) => void Object.assign(at(receipt), { surplus: 1 })),
        ['schema'],
      );
    };
    await walk([], JSON.parse(EXACT.toString()));
    expect(fields).toBeGreaterThan(100);
  });
});

describe('another text of the same', () => {
  const text = EXACT.toString().trim();
  const value: Forgery = JSON.parse(text);
  test.each([
    ['indented', JSON.stringify(value, null, 2)],
    ['keys in another order', JSON.stringify(Object.fromEntries(Object.entries(value).toReversed()))],
    ['a key twice, first with another value', text.replace('"device":"cpu"', '"device":"gpu","device":"cpu"')],
    ['a number in another form', text.replace('"warmup":1', '"warmup":1.0')],
    ['a letter in another form', text.replace('"Once', '"\\u004fnce')],
    ['white space behind it', `${text}\n\n`],
  ])('%s', async (_, forged) => {
    expect(forged).not.toBe(text);
    await expectRejected(Buffer.from(forged), ['canonical']);
  });
});

describe('edited without a new seal', () => {
  test.each<[string, Change]>([
    ['a sample', (_, p) => (p.runs[0]!.wallMs += 1)],
    ['the processor', (_, p) => (p.host.cpu = 'a faster one')],
    ['the date', (_, p) => (p.created = '2020-01-01T00:00:00.000Z')],
    ['the digest', (_, p) => (p.digest = 'f'.repeat(64))],
  ])('%s', async (_, change) => {
    await expectRejected(edit(change), ['digest']);
  });
});

const swap: Change = ({ subject: [model, tokenizer] }) => {
  [model!.digest, tokenizer!.digest] = [tokenizer!.digest, model!.digest];
};

test('any bit of a receipt, changed', async () => {
  for (let at = 0; at < 8 * (EXACT.length - 1); at += 101) {
    const bytes = Buffer.from(EXACT);
    bytes[at >> 3]! ^= 1 << (at & 7);
    const { verdict, gates } = await verifyReceipt(bytes);
    expect({ at, verdict }).toEqual({ at, verdict: 'fail' });
    const first = gates.find(({ status }) => status === 'fail');
    expect(first!.gate).toMatch(/^(schema|canonical|digest)$/);
  }
});

describe('sealed again', () => {
  test.each<[string, readonly string[], Change]>([
    ['swapped digests', ['subjects'], swap],
    [
      "another model's digest in the predicate",
      ['subjects', 'parity'],
      (_, p) => (p.model.files[0]!.sha256 = 'a'.repeat(64)),
    ],
    ['a subject missing, another twice', ['subjects'], (r) => (r.subject[0] = r.subject[1]!)],
    ['a subject too many', ['subjects'], (r) => r.subject.push({ ...r.subject[0]!, name: 'other.gguf' })],
    [
      'one digest for all',
      ['subjects'],
      (r, p) => {
        for (const { digest } of r.subject) digest.sha256 = p.kernels.sha256;
        p.tokenizer.sha256 = p.kernels.sha256;
      },
    ],

    [
      'no tokens',
      ['tokens', 'counts', 'time', 'throughput'],
      (_, p) => {
        Object.assign(p.generated, { ids: [], logitsSha256: [] });
        for (const run of p.runs) Object.assign(run, { ids: [], decodeMs: [] });
      },
    ],
    [
      'one hard-coded token',
      ['tokens', 'counts', 'quantized-kernels', 'time', 'throughput'],
      (_, p) => {
        Object.assign(p.generated, { ids: [29_871], logitsSha256: ['0'.repeat(64)] });
        p.request.tokens = 1;
        for (const run of p.runs) Object.assign(run, { ids: [29_871], decodeMs: [] });
      },
    ],
    ['fewer tokens than asked for', ['tokens', 'quantized-kernels'], (_, p) => (p.request.tokens = 128)],
    [
      'an id outside of the vocabulary',
      ['tokens'],
      (_, p) => {
        p.generated.ids[3] = 1_000_000;
        for (const { ids } of p.runs) ids[3] = 1_000_000;
      },
    ],
    ['a run with other ids', ['tokens'], (_, p) => (p.runs[1]!.ids[2]! += 1)],
    ['a run with fewer ids', ['tokens'], (_, p) => p.runs[1]!.ids.pop()],
    ['a step without a time', ['tokens'], (_, p) => p.runs[0]!.decodeMs.pop()],
    ['fewer runs than asked for', ['tokens', 'time'], (_, p) => p.runs.pop()],
    ['more repeats than there are', ['tokens', 'counts', 'quantized-kernels'], (_, p) => (p.request.repeats = 5)],
    ['no prompt', ['tokens', 'counts', 'quantized-kernels'], (_, p) => (p.prompt.ids = [])],
    ['a longer prompt', ['counts', 'quantized-kernels'], (_, p) => p.prompt.ids.push(5)],
    ['ids without logits', ['tokens'], (_, p) => p.generated.logitsSha256.pop()],
    ['the same logits for two ids', ['tokens'], (_, p) => (p.generated.logitsSha256[1] = p.generated.logitsSha256[0]!)],
    ['a file smaller than its weights', ['counts'], (_, p) => (p.model.files[0]!.bytes = 1024)],
    ['a file much larger than its weights', ['counts'], (_, p) => (p.model.files[0]!.bytes = 2 ** 40)],
    ['a model loaded in no time', ['time', 'rates'], (_, p) => (p.loadMs = 1e-6)],
    [
      'a model loaded faster than the machine reads',
      ['rates'],
      (_, p) => {
        p.loadMs = 0.1;
        for (const { ms } of p.limits.reads) for (const at of ms.keys()) ms[at]! *= 100;
        for (const counter of [...p.counters.prefill, ...p.counters.decode]) counter.nanoseconds *= 100;
        for (const run of p.runs) {
          for (const part of ['prefillMs', 'firstTokenMs', 'wallMs'] as const) run[part] *= 100;
          run.decodeMs = run.decodeMs.map((ms) => 100 * ms);
        }
      },
    ],
    ['more than the context holds', ['tokens', 'parity'], (_, p) => (p.model.config.contextLength = 11)],

    ['a kernel called mock', ['registry', 'compute-path', 'counts'], (_, p) => (decoded(p, 'add').id = 'mock_add')],
    [
      'a GPU kernel that is not registered',
      ['registry', 'compute-path', 'counts', 'quantized-kernels'],
      (_, p) => (decoded(p, 'i2s_gemv').id = 'gemm_cuda_0'),
    ],
    ['a kernel twice', ['registry'], (_, p) => p.counters.decode.push({ ...p.counters.decode[0]! })],
    [
      'a choice that is no kernel',
      ['registry', 'compute-path', 'counts'],
      (_, p) => (p.kernels.gemm = 'i2s_gemm_avx512'),
    ],
    [
      'placeholders',
      ['registry', 'compute-path', 'counts', 'quantized-kernels'],
      (_, p) => {
        const one = { calls: 1, rows: 1, elements: 1, bytes: 1, nanoseconds: 1 };
        p.counters.decode = ['embedding_lookup', 'prefill_forward', 'i2s_gemv'].map((id) => ({ id, ...one }));
      },
    ],

    ['a binary of other kernels', ['subjects', 'binaries'], (_, p) => (p.kernels.binary = 'simd128.wasm')],
    ['a claim of a GPU', ['compute-path'], (_, p) => (p.device = 'gpu')],
    ['a plain reference', ['compute-path', 'counts'], (_, p) => (decoded(p, 'i2s_gemv').id = 'i2s_gemv_reference')],
    ['no kernels', ['compute-path', 'counts', 'quantized-kernels'], (_, p) => (p.counters.decode = [])],
    ['a layout for TL1', ['compute-path', 'counts'], (_, p) => retype(p, 'I2_S', 'TL1')],
    ['a TL1 kernel for I2_S', ['compute-path'], (_, p) => (p.model.tl1Kernel = 'lut')],
    ['an exact head of one logit', ['compute-path'], (_, p) => (p.head.topK = 1)],
    ['the other binary', ['binaries', 'compute-path', 'counts'], (_, p) => (p.kernels.variant = 'simd128')],

    ['one call too many', ['counts'], (_, p) => (decoded(p, 'i2s_gemv').calls += 1)],
    ['one call too few', ['counts'], (_, p) => (decoded(p, 'attention').calls -= 1)],
    ['one row too many', ['counts'], (_, p) => (decoded(p, 'rms_norm').rows += 1)],
    ['one byte too few', ['counts'], (_, p) => (decoded(p, 'f16_gemv').bytes -= 1)],
    ['one product too few', ['counts', 'quantized-kernels'], (_, p) => (decoded(p, 'i2s_gemv').elements -= 1)],
    ['a kernel left out', ['counts'], (_, p) => p.counters.prefill.shift()],
    [
      'a kernel of loading',
      ['counts'],
      (_, p) => {
        p.counters.decode.push({ ...decoded(p, 'add'), id: 'pack_row_pairs_relaxed' });
      },
    ],
    ['a screened head that was none', ['counts'], (_, p) => (p.head = { kind: 'screened', topK: 1 })],
    ['a layer too many', ['counts', 'quantized-kernels'], (_, p) => addLayers(p, 1)],
    ['more layers than there are weights for', ['counts'], (_, p) => (p.model.config.blockCount += 1)],
    ['another gate', ['counts'], (_, p) => (p.model.architecture = 'bitnet')],
    ['heads that are not the embedding', ['counts', 'quantized-kernels'], (_, p) => (p.model.config.headDim *= 2)],
    ['2 billion layers', ['counts', 'quantized-kernels', 'rates'], (_, p) => addLayers(p, 2 ** 31 - 9)],
    [
      'products by way of floats',
      ['counts', 'quantized-kernels'],
      (_, p) => {
        const ternary = decoded(p, 'i2s_gemv');
        const floats = decoded(p, 'f16_gemv');
        for (const field of ['calls', 'rows', 'elements', 'bytes', 'nanoseconds'] as const)
          floats[field] += ternary[field];
        p.counters.decode = p.counters.decode.filter((counter) => counter !== ternary);
      },
    ],

    [
      'samples shorter than their kernels',
      ['time'],
      (_, { runs, counters }) => {
        const steps = runs.flatMap(({ decodeMs }) => decodeMs);
        const shorter = (0.99 * kernelMs(counters.decode)) / sum(steps);
        for (const run of runs) run.decodeMs = run.decodeMs.map((ms) => shorter * ms);
      },
    ],
    [
      'prompts shorter than their kernels',
      ['time'],
      (_, { runs, counters }) => {
        const shorter = (0.99 * kernelMs(counters.prefill)) / sum(runs.map(({ prefillMs }) => prefillMs));
        for (const run of runs) run.prefillMs *= shorter;
      },
    ],
    ['a first token before the prompt', ['time'], (_, p) => (p.runs[0]!.firstTokenMs = p.runs[0]!.prefillMs / 2)],
    ['parts longer than the whole', ['time'], (_, p) => (p.runs[1]!.decodeMs[0]! += 1000)],
    ['a kernel that took no time', ['time', 'rates'], (_, p) => (decoded(p, 'add').nanoseconds = 0)],
    ['kernels longer than the runs', ['time'], (_, p) => (decoded(p, 'add').nanoseconds = 1e12)],

    ['limits of other threads', ['limits'], (_, p) => (p.limits.threads = 8)],
    ['limits of another run', ['limits'], (_, p) => p.limits.reads[1]!.ms.pop()],
    ['limits of one run more than of another', ['limits'], (_, p) => p.limits.dots[0]!.ms.push(5)],
    ['a memory that is faster than the cache', ['limits'], (_, p) => (p.limits.reads[1]!.ms = [0.001, 0.001])],
    ['a buffer that was not read', ['limits'], (_, p) => (p.limits.reads[1]!.bytes = 1024)],
    [
      'a buffer larger than the memory',
      ['limits'],
      (_, p) => {
        Object.assign(p.limits.reads[1]!, { bufferBytes: 2 ** 40, bytes: 2 ** 40 });
        p.limits.reads[1]!.ms = [1e7, 1e7];
      },
    ],
    ['a buffer that the nearest cache holds', ['limits'], (_, p) => (p.limits.reads[1]!.bufferBytes = 20_000)],
    [
      'more threads than cores can run',
      ['binaries', 'limits'],
      (_, p) => Object.assign(p.limits, { threads: (p.kernels.threads = 9) }),
    ],
    [
      'buffers out of order',
      ['limits', 'rates'],
      (_, { limits }) => {
        limits.reads[1]!.ms = limits.reads[1]!.ms.map(() => 1e7);
        limits.reads = limits.reads.toReversed();
      },
    ],
    ['a cache that no machine has', ['limits'], (_, p) => (p.limits.reads[0]!.ms = [0.001, 0.001])],
    ['arithmetic that no machine has', ['limits'], (_, p) => (p.limits.dots[0]!.ms = [0.001, 0.001])],

    ['a kernel faster than the cache', ['rates'], (_, p) => (decoded(p, 'add').nanoseconds = 1)],
    ['a kernel faster than arithmetic', ['rates'], (_, p) => (decoded(p, 'attention').nanoseconds = 10_000)],
    [
      'all times a thousandth',
      ['rates'],
      (_, p) => {
        for (const counter of [...p.counters.prefill, ...p.counters.decode]) {
          counter.nanoseconds = Math.ceil(counter.nanoseconds / 1000);
        }
        for (const run of p.runs) {
          run.prefillMs /= 1000;
          run.firstTokenMs /= 1000;
          run.wallMs /= 1000;
          run.decodeMs = run.decodeMs.map((ms) => ms / 1000);
        }
      },
    ],
    [
      'one step that is impossible',
      ['rates'],
      (_, p) => {
        const { decodeMs } = p.runs[0]!;
        decodeMs[1]! += decodeMs[0]! - 1e-6;
        decodeMs[0] = 1e-6;
      },
    ],

    [
      'a comparison of nothing',
      ['parity'],
      (_, p) => Object.assign(p.parity!, { positionsByValue: 0, positionsByDigest: 0 }),
    ],
    ['a comparison without decoding', ['parity'], (_, p) => (p.parity!.decodeSteps = 0)],
    ['a reference with another model', ['parity'], (_, p) => (p.parity!.modelSha256 = 'b'.repeat(64))],
    ['a reference of other numerics', ['parity'], (_, p) => (p.parity!.reference.numerics = 'avx2')],
    ['a difference from the reference', ['parity'], (_, p) => (p.parity!.maxAbs = 1e-30)],
    [
      'a difference that was not measured',
      ['parity'],
      (_, p) => Object.assign(p.parity!, { maxAbs: null, positionsByValue: 1 }),
    ],
    ['logits that differ', ['parity'], (_, p) => (p.parity!.differingValues = 1)],
    ['more positions than contexts hold', ['parity'], (_, p) => (p.parity!.positionsByValue = 18 * 512)],
    ['more decoded ids than contexts hold', ['parity'], (_, p) => (p.parity!.decodeSteps = 18 * 512 + 1)],
    ['a comparison that failed', ['parity'], (_, p) => (p.parity!.failures = ['GREEDY_DIFFERS'])],
  ])('%s: %j', async (_, gates, change) => {
    await expectRejected(forge(change), gates);
  });

  test.each<[string, readonly string[], Change]>([
    ['fewer rows than the largest logits', ['counts'], (_, p) => rescore(p, 1)],
    ['more rows than are computed one by one', ['counts'], (_, p) => rescore(p, 6 * p.model.config.vocabSize)],
    ['fewer rows refined than the largest logits', ['counts'], (_, p) => refine(p, 1)],
    ['more rows refined than there are', ['counts'], (_, p) => refine(p, 6 * p.model.config.vocabSize + 1)],
    [
      'fewer rows refined than computed',
      ['counts'],
      (_, p) => {
        rescore(p, 6 * p.model.config.vocabSize * 0.25);
        refine(p, 6 * p.head.topK!);
      },
    ],
    [
      'refining left out',
      ['counts'],
      (_, p) => {
        p.counters.decode = p.counters.decode.filter(({ id }) => !id.startsWith('f16_head_refined'));
      },
    ],
    [
      'rescoring left out',
      ['counts'],
      (_, p) => {
        p.counters.decode = p.counters.decode.filter(({ id }) => !id.startsWith('f16_head_rescored'));
      },
    ],
    [
      'more fall-backs than steps',
      ['counts', 'rates'],
      (_, p) => {
        const { vocabSize: rows, embeddingLength: width } = p.model.config;
        const bytes = 7 * (rows * (2 * width + 4) + 4 * width);
        const fallback = { calls: 7, rows: 7 * rows, elements: 7 * rows * width, bytes, nanoseconds: 1e4 };
        p.counters.decode.push({ id: 'f16_head_fallback_simd128', ...fallback });
      },
    ],
    ['a screen that was not read', ['counts'], (_, p) => (decoded(p, 'f16_head_screened').bytes -= 1)],
    ['an exact head that was none', ['counts'], (_, p) => (p.head = { kind: 'exact', topK: null })],
    ['a screened head of no size', ['compute-path', 'counts'], (_, p) => (p.head.topK = null)],
  ])('of a screened head: %s: %j', async (_, gates, change) => {
    await expectRejected(forge(change, SCREENED), gates);
  });

  /** Rescored rows, with the elements and bytes that belong to them. */
  function rescore(p: Forgery['predicate'], rows: number): void {
    const width = p.model.config.embeddingLength;
    const counter = decoded(p, 'f16_head_rescored');
    recount(p, counter, rows, rows * (2 * width + 4) + counter.calls * 4 * width);
  }

  /** Refined rows, the same. */
  function refine(p: Forgery['predicate'], rows: number): void {
    const { embeddingLength: width, vocabSize } = p.model.config;
    const counter = decoded(p, 'f16_head_refined');
    const blocks = Math.ceil(width / 128);
    const ofCall = 256 * blocks + 32 + 4 * p.head.topK! + 4 * vocabSize;
    recount(p, counter, rows, rows * (32 * blocks + 24) + counter.calls * ofCall);
  }

  /** In a thousand times the time, so that no rate tells. */
  function recount(p: Forgery['predicate'], counter: Counter, rows: number, bytes: number): void {
    const elements = rows * p.model.config.embeddingLength;
    Object.assign(counter, { rows, elements, bytes, nanoseconds: counter.nanoseconds * 1000 });
    for (const run of p.runs) {
      run.wallMs *= 1000;
      run.decodeMs = run.decodeMs.map((ms) => ms * 900);
    }
  }

  test.each<[string, readonly string[], Change]>([
    ['a head of another type', ['counts', 'quantized-kernels'], (_, p) => (p.model.weights.head = 'F16')],
    ['a head that is the embedding', ['counts'], (_, p) => (p.model.weights.head = null)],
    ['an embedding of another type', ['counts'], (_, p) => (p.model.weights.embedding = 'F16')],
    ['an embedding that cannot be looked up', ['counts'], (_, p) => (p.model.weights.embedding = 'I2_S')],
    ['a screened head of Q6_K', ['counts'], (_, p) => (p.head = { kind: 'screened', topK: 1 })],
    [
      'floats that are said to be quantized',
      ['counts', 'quantized-kernels'],
      (_, p) => (p.model.weights.layers[1]!.attnV.type = 'Q8_0'),
    ],
    [
      'weights of another type of the same size',
      ['counts', 'quantized-kernels'],
      (_, p) => {
        for (const layers of p.model.weights.layers) layers.ffnGate.type = 'F16';
      },
    ],
    ['no bias of one matrix', ['counts'], (_, p) => (p.model.weights.layers[0]!.ffnUp.bias = false)],
    ['no scale of one matrix', ['counts'], (_, p) => (p.model.weights.layers[2]!.attnK.scale = false)],
    ['a layer in another list', ['counts', 'quantized-kernels'], (_, p) => (p.model.weights.layers[0]!.count = 2)],
    ['a cache of f16', ['counts'], (_, p) => (p.kvType = 'f16')],
    ['attention over a cache of f16', ['counts'], (_, p) => (decoded(p, 'attention_f32').id = 'attention_relaxed')],
    ['RoPE of the other graph', ['counts'], (_, p) => (decoded(p, 'rope_norm').id = 'rope_neox_relaxed')],
    ['another graph', ['counts'], (_, p) => (p.model.architecture = 'bitnet-b1.58')],
    ['heads of another size', ['counts', 'quantized-kernels'], (_, p) => (p.model.config.headDim = 64)],
    ['I2_S layers', ['compute-path', 'counts'], (_, p) => (p.model.weights.layers[0]!.attnQ.type = 'I2_S')],
    [
      'I2_S and TL1 in one model',
      ['compute-path', 'counts'],
      (_, p) => {
        p.model.weights.layers[0]!.attnQ.type = 'I2_S';
        p.model.weights.layers[0]!.attnK.type = 'TL1';
        Object.assign(p.model, { layout: '128x32', tl1Kernel: 'lut' });
      },
    ],
    [
      'products by way of floats',
      ['counts', 'quantized-kernels'],
      (_, p) => (decoded(p, 'q4_0_gemm').id = 'f32_gemv_relaxed'),
    ],
    [
      'the other quantized kernel',
      ['counts'],
      (_, p) => {
        const [a, b] = [decoded(p, 'q4_0_gemm'), decoded(p, 'q8_0_gemm')];
        [a.id, b.id] = [b.id, a.id];
      },
    ],
    ['activations that were not quantized', ['counts'], (_, p) => remove(p, 'quantize_rows_q8_k')],
    ['biases that were not added', ['counts'], (_, p) => remove(p, 'add_to_rows')],
    ['scales that were not multiplied by', ['counts'], (_, p) => remove(p, 'multiply_by')],
    ['a type that is none', ['schema'], (_, p) => Object.assign(p.model.weights, { embedding: 'Q5_K' })],
    ['no layers', ['schema'], (_, p) => (p.model.weights.layers = [])],
    ['a list of no layers', ['schema'], (_, p) => (p.model.weights.layers[0]!.count = 0)],
  ])('of many types of weights: %s: %j', async (_, gates, change) => {
    await expectRejected(forge(change, MIXED), gates);
  });

  function remove(p: Forgery['predicate'], prefix: string): void {
    p.counters.decode = p.counters.decode.filter(({ id }) => !id.startsWith(prefix));
  }

  test('quantized kernels are required of weights that are not all quantized', async () => {
    await expectRejected(MIXED, ['quantized-kernels'], { requireQuantizedKernels: true });
  });

  test('a long generation of a model of many kinds of layers is verified in bounded time', async () => {
    const forged = forge((_, p) => {
      const [layers] = p.model.weights.layers;
      p.model.weights.layers = Array.from({ length: 1024 }, () => ({ ...layers!, count: 1 }));
      p.model.config.blockCount = 1024;
      p.generated.ids = Array.from({ length: 20_000 }, () => 1);
    }, MIXED);
    expect(failedGates(await verifyReceipt(forged))).toContain('counts');
  });

  test.each([
    ['I2_S', EXACT],
    ['many types', MIXED],
  ])('every count of every kernel, by one: %s', async (_, source) => {
    const { counters }: Forgery['predicate'] = JSON.parse(source.toString()).predicate;
    const passed: string[] = [];
    for (const phase of ['prefill', 'decode'] as const) {
      for (const [index, { id }] of counters[phase].entries()) {
        for (const field of ['calls', 'rows', 'elements', 'bytes'] as const) {
          const report = await verifyReceipt(forge((_receipt, p) => (p.counters[phase][index]![field] += 1), source));
          if (!failedGates(report).includes('counts')) passed.push(`${id} ${field}`);
        }
      }
    }
    expect(passed).toEqual([]);
  });

  test('digests of ids and text that are not theirs', async () => {
    for (const change of [
      (p: Forgery['predicate']) => (p.generated.idsSha256 = '1'.repeat(64)),
      (p: Forgery['predicate']) => (p.prompt.idsSha256 = '1'.repeat(64)),
      (p: Forgery['predicate']) => (p.prompt.text = 'another'),
    ]) {
      const receipt: Forgery = JSON.parse(EXACT.toString());
      change(receipt.predicate);
      await expectRejected(seal(receipt), ['tokens']);
    }
  });
});

describe('the receipt of a comparison', () => {
  type ParityChange = (receipt: ParityForgery, p: ParityForgery['predicate']) => unknown;

  test('passes, and what only a benchmark has is not applicable', async () => {
    const { verdict, gates, figures } = await verifyReceipt(PARITY);
    expect({ verdict, figures }).toEqual({ verdict: 'pass', figures: null });
    const passed = gates.filter(({ status }) => status === 'pass').map(({ gate }) => gate);
    expect(passed).toEqual(['schema', 'canonical', 'digest', 'subjects', 'parity']);
    const { reason } = gates.find(({ gate }) => gate === 'parity')!;
    expect(reason).toMatch(/^the receipt says that 365 positions and 240 decoded ids are those of bitnet\.cpp /);
  });

  test.each<[string, readonly string[], ParityChange]>([
    ['a verdict about itself', ['schema'], (_, p) => Object.assign(p, { verdict: 'pass' })],
    ['another version', ['schema'], (r) => Object.assign(r, { predicateType: 'urn:bittern:parity:v2' })],
    ['as that of a benchmark', ['schema'], (r) => Object.assign(r, { predicateType: 'urn:bittern:receipt:v1' })],
    ['no comparisons', ['schema'], (_, p) => (p.comparisons = [])],
    ['no reference', ['schema'], (_, p) => Reflect.deleteProperty(p.comparisons[0]!, 'reference')],
    ['a reference without a name', ['schema'], (_, p) => (p.comparisons[0]!.reference.name = '')],
    ['a negative number of differences', ['schema'], (_, p) => (p.comparisons[0]!.differingValues = -1)],
    ['another file', ['subjects', 'parity'], (_, p) => (p.model.files[0]!.sha256 = 'a'.repeat(64))],
    ['nothing compared', ['parity'], (_, p) => Object.assign(p.comparisons[0]!, { positionsByValue: 0 })],
    ['no cases', ['parity'], (_, p) => Object.assign(p.comparisons[0]!, { cases: 0, prompts: [] })],
    ['nothing decoded', ['parity'], (_, p) => (p.comparisons[1]!.decodeSteps = 0)],
    ['more cases than prompts', ['parity'], (_, p) => (p.comparisons[0]!.cases += 1)],
    ['more positions than the prompts have', ['parity'], (_, p) => (p.comparisons[0]!.positionsByValue += 1000)],
    [
      'more positions than any prompt has',
      ['parity'],
      (_, p) => {
        p.comparisons[0]!.prompts[0]!.tokens = 2 ** 40;
        p.comparisons[0]!.positionsByValue = 2 ** 40;
      },
    ],
    ['more decoded ids than any context holds', ['parity'], (_, p) => (p.comparisons[0]!.decodeSteps = 2 ** 40)],
    [
      'prompts without tokens',
      ['parity'],
      (_, p) => p.comparisons[0]!.prompts.forEach((prompt) => (prompt.tokens = 0)),
    ],
    ['a value that differs', ['parity'], (_, p) => (p.comparisons[1]!.differingValues = 1)],
    ['a difference', ['parity'], (_, p) => (p.comparisons[0]!.maxAbs = 1e-30)],
    ['a difference that was not measured', ['parity'], (_, p) => (p.comparisons[0]!.maxAbs = null)],
    ['a failure', ['parity'], (_, p) => (p.comparisons[0]!.failures = ['LOGITS_DIFFER'])],
    ['other numerics', ['parity'], (_, p) => (p.comparisons[0]!.numerics = 'avx2')],
    ['numerics that nobody knows', ['parity'], (_, p) => (p.comparisons[0]!.reference.numerics = null)],
    ['another model', ['parity'], (_, p) => (p.comparisons[0]!.modelSha256 = 'b'.repeat(64))],
  ])('%s: %j', async (_, gates, change) => {
    await expectRejected(forgeParity(change), gates);
  });

  test('edited without a new seal', async () => {
    const receipt: ParityForgery = JSON.parse(PARITY.toString());
    receipt.predicate.host.cpu = 'a faster one';
    await expectRejected(Buffer.from(JSON.stringify(receipt)), ['digest']);
  });

  const { kernels, model, tokenizer }: ParityForgery['predicate'] = JSON.parse(PARITY.toString()).predicate;
  const { model: other }: Forgery['predicate'] = JSON.parse(EXACT.toString()).predicate;
  const evidence = { model: { ...other, files: model.files }, tokenizer, promptIds: [] };

  test('with the binaries and the model it passes, too', async () => {
    const options = { binaries: { [kernels.binary]: kernels.sha256 }, model: evidence };
    expect(failedGates(await verifyReceipt(PARITY, options))).toEqual([]);
  });

  test.each<[string, readonly string[], VerifyOptions]>([
    ['GPU kernels', ['gpu-kernels'], { requireGpuKernels: true }],
    ['quantized kernels', ['quantized-kernels'], { requireQuantizedKernels: true }],
    ['a rate', ['throughput'], { minTokensPerSecond: 0 }],
    ['running it again', ['replay'], { replay: 'skipped' }],
    ['other kernels', ['binaries'], { binaries: { [kernels.binary]: 'c'.repeat(64) }, requireSameBinaries: true }],
    ['another model', ['model'], { model: { ...evidence, model: other } }],
    ['another tokenizer', ['model'], { model: { ...evidence, tokenizer: { ...tokenizer, sha256: 'e'.repeat(64) } } }],
  ])('against what is asked for: %s', async (_, gates, options) => {
    await expectRejected(PARITY, gates, options);
  });
});

describe('against what is asked for', () => {
  const { kernels, tokenizer, prompt, model, generated }: Forgery['predicate'] = JSON.parse(EXACT.toString()).predicate;
  const binaries = { [kernels.binary]: kernels.sha256 };
  const evidence = { model, tokenizer, promptIds: prompt.ids };
  const replay = { tokens: 4, ids: generated.ids.slice(0, 4), logitsSha256: generated.logitsSha256.slice(0, 4) };

  test('what is right passes', async () => {
    const options = { binaries, model: evidence, replay, requireQuantizedKernels: true, minTokensPerSecond: 0.001 };
    expect(failedGates(await verifyReceipt(EXACT, options))).toEqual([]);
  });

  test.each<[string, readonly string[], VerifyOptions]>([
    ['GPU kernels', ['gpu-kernels'], { requireGpuKernels: true }],
    ['a rate', ['throughput'], { minTokensPerSecond: 1e9 }],
    ['a rate that is no number', ['throughput'], { minTokensPerSecond: Number.NaN }],
    ['other kernels', ['binaries'], { binaries: { [kernels.binary]: 'c'.repeat(64) }, requireSameBinaries: true }],
    ['kernels that are not here', ['binaries'], { binaries: {}, requireSameBinaries: true }],
    ['the same kernels, with none to compare with', ['binaries'], { requireSameBinaries: true }],
    [
      'another file',
      ['model'],
      { model: { ...evidence, model: { ...model, files: [{ ...model.files[0]!, sha256: 'd'.repeat(64) }] } } },
    ],
    [
      'a file of another size',
      ['model'],
      { model: { ...evidence, model: { ...model, files: [{ ...model.files[0]!, bytes: 1 }] } } },
    ],
    [
      'another shape',
      ['model'],
      { model: { ...evidence, model: { ...model, config: { ...model.config, headCount: 1 } } } },
    ],
    [
      'another type of weights',
      ['model'],
      { model: { ...evidence, model: { ...model, weights: { ...model.weights, embedding: 'BF16' } } } },
    ],
    ['another tokenizer', ['model'], { model: { ...evidence, tokenizer: { ...tokenizer, sha256: 'e'.repeat(64) } } }],
    ['another kind of tokenizer', ['model'], { model: { ...evidence, tokenizer: { ...tokenizer, model: 'llama' } } }],
    ['another pre-tokenizer', ['model'], { model: { ...evidence, tokenizer: { ...tokenizer, pre: 'gpt-2' } } }],
    ['another dialect', ['model'], { model: { ...evidence, model: { ...model, dialect: 'ggml' } } }],
    ['other ids of the prompt', ['model'], { model: { ...evidence, promptIds: [1] } }],
    ['other ids', ['replay'], { replay: { ...replay, ids: [...replay.ids.slice(0, 3), 7] } }],
    ['other logits', ['replay'], { replay: { ...replay, logitsSha256: replay.logitsSha256.toReversed() } }],
    ['fewer ids', ['replay'], { replay: { ...replay, ids: replay.ids.slice(0, 3) } }],
    ['no ids', ['replay'], { replay: { tokens: 0, ids: [], logitsSha256: [] } }],
    [
      'more ids than there are',
      ['replay'],
      { replay: { tokens: 9, ids: generated.ids, logitsSha256: generated.logitsSha256 } },
    ],
  ])('%s', async (_, gates, options) => {
    await expectRejected(EXACT, gates, options);
  });

  test('other ids than those of the model, in a receipt that is right otherwise', async () => {
    const forged = forge((_, p) => {
      p.generated.ids[2] = 3;
      for (const { ids } of p.runs) ids[2] = 3;
    });
    expect(failedGates(await verifyReceipt(forged))).toEqual([]);
    await expectRejected(forged, ['replay'], { replay });
  });

  test('kernels of another build are told, and are no forgery', async () => {
    const { verdict, gates } = await verifyReceipt(EXACT, { binaries: { [kernels.binary]: 'c'.repeat(64) } });
    expect(verdict).toBe('pass');
    const { status, reason } = gates.find(({ gate }) => gate === 'binaries')!;
    expect(status).toBe('not applicable');
    expect(reason).toMatch(/^made by other binaries than this installation's: /);
  });

  test('an unknown option', async () => {
    await expect(verifyReceipt(EXACT, { requireGpu: true } as VerifyOptions)).rejects.toThrow(
      'Unknown option "requireGpu"',
    );
  });
});
