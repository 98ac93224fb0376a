import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KERNEL_REGISTRY } from '@bittern/kernels';
import { KNOWN_KERNELS, readReceipt, type ReceiptContent, sealReceipt } from '@bittern/receipts';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  benchmarkIn,
  chooseKernels,
  expectBelieved,
  predicateOf,
  QUICK,
  receiptOf,
  verify,
} from './receipt-support.ts';
import { bittern, fileOf, MODEL, RECORDING, temporaryFolder, TL1_TILING, tl1Bytes } from './support.ts';

const TINY = fileURLToPath(new URL('../../../tools/fixtures/tiny-random/tiny-random.i2_s.gguf', import.meta.url));
const SILU = fileURLToPath(
  new URL('../../../tools/fixtures/tiny-random-bitnet/tiny-random-bitnet.i2_s.gguf', import.meta.url),
);
test("the verifier's list of kernels is the registry", () => {
  const plain = KERNEL_REGISTRY.map(({ id, device, quantized, reference }) => ({ id, device, quantized, reference }));
  const known = KNOWN_KERNELS.map(({ products: _products, ...kernel }) => kernel);
  const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
  expect(known.toSorted(byId)).toEqual(plain.toSorted(byId));
});

describe('a real receipt passes without the model, and with it when it is run again', () => {
  test.each([
    ['relaxed', 1, 'exact', 'wide', 'wide'],
    ['relaxed', 1, 'screened', 'wide', 'wide'],
    ['relaxed', 2, 'exact', 'i16', 'plain'],
    ['relaxed', 2, 'screened', 'i16', 'plain'],
    ['simd128', 1, 'exact', 'i16', 'i16'],
    ['simd128', 1, 'screened', 'i16', 'i16'],
    ['simd128', 2, 'exact', 'plain', 'plain'],
    ['simd128', 2, 'screened', 'plain', 'plain'],
  ] as const)('%s kernels, %i thread(s), %s head, %s and %s products', async (variant, threads, head, gemv, gemm) => {
    const chosen = await chooseKernels(variant, threads, { gemv, gemm });
    const path = await receiptOf(['--kernels', variant, '--threads', String(threads), '--head', head]);
    const { kernels, counters, limits, host } = await predicateOf(path);
    expect(kernels).toMatchObject({ variant, threads, ...chosen });
    for (const { ms } of [...limits.reads, ...limits.dots]) expect(ms).toHaveLength(2 * 8);
    const hasRevectorizer = Number(process.versions.node.split('.')[0]) >= 24 && process.arch === 'x64';
    expect(host.runtime.flags.includes('--experimental-wasm-revectorize')).toBe(hasRevectorizer);
    const ids = counters.decode.map(({ id }) => id);
    expect(ids).toContain(chosen.gemv);
    expect(ids.includes(`f16_head_screened_${variant}`)).toBe(head === 'screened');
    await expectBelieved(path, MODEL, '--require-quantized-kernels');
  });

  test.each([
    ['relaxed', 'lut', 'tl1_gemv_relaxed_swizzle'],
    ['simd128', 'lut', 'tl1_gemv_swizzle'],
    ['relaxed', 'transcode', 'i2s_gemv_relaxed'],
  ])('TL1: %s kernels, %s', async (kernels, tl1Kernel, id) => {
    const model = await fileOf(await tl1Bytes(), 'tl1.gguf');
    const tiling = ['--tl1-tiling', await fileOf(JSON.stringify(TL1_TILING), 'tiling.json')];
    const path = await receiptOf(['-m', model, ...tiling, '--kernels', kernels, '--tl1-kernel', tl1Kernel]);
    const predicate = await predicateOf(path);
    const weights = { layers: [{ count: 8, attnQ: { type: 'TL1' } }] };
    expect(predicate.model).toMatchObject({ weights, tl1Kernel, layout: null });
    expect(predicate.counters.decode.some((counter) => counter.id.startsWith(id))).toBe(true);
    await expectBelieved(path, model, ...tiling, '--require-quantized-kernels');
  });

  test.each([
    ['of several micro-batches', TINY, 'a b c d e f g h '.repeat(70)],
    ['of one token', TINY, ''],
    ['of the architecture with SiLU', SILU, 'x'],
  ])('a prompt %s', async (_, model, text) => {
    const path = await receiptOf(['-m', model, '-p', text, '--threads', '1']);
    await expectBelieved(path, model);
  });

  test.each(['exact', 'screened'])('a cache of f32, %s head', async (head) => {
    const path = await receiptOf(['--kv-type', 'f32', '--head', head]);
    const { counters } = await predicateOf(path);
    const cache = counters.decode.filter(({ id }) => /^(?:attention|store_keys_values)/.test(id));
    expect(cache.map(({ id }) => id.split('_f32_')[0]).toSorted()).toEqual(['attention', 'store_keys_values']);
    await expectBelieved(path, MODEL, '--require-quantized-kernels');
  });

  test('with other numerics, and what bitnet.cpp computed', async () => {
    const path = await receiptOf(['--numerics', 'avx2', '--reference', RECORDING]);
    const { parity } = await predicateOf(path);
    expect(parity).toMatchObject({ maxAbs: 0, differingValues: 0, failures: [], reference: { numerics: 'avx2' } });
    const replayed = await verify(path, '-m', MODEL, '--replay', '4');
    expect(replayed).toMatchObject({ code: 0, failed: [], gates: { parity: 'pass', replay: 'pass' } });
  });
});

describe('crossval --receipt', () => {
  const recording = join(dirname(TINY), 'recording');
  const prompt = ['-p', 'The capital of France is', '--mode', 'batch-all', '--max-tokens', '4'];
  const argv = ['crossval', '-m', TINY, '--reference', recording, ...prompt];

  test('is sealed, says who the references are, and passes where every bit is the same', async () => {
    const path = join(await temporaryFolder(), 'receipt.json');
    expect(await bittern([...argv, '--exact', '--receipt', path])).toMatchObject({ code: 0 });
    const { statement } = readReceipt(await readFile(path));
    expect(statement.predicateType).toBe('urn:bittern:parity:v1');
    expect(statement.predicate).toMatchObject({
      comparisons: ['avx512', 'avx2'].map((numerics) => ({
        numerics,
        reference: { name: 'bitnet.cpp', numerics },
        prompts: [{ mode: 'batch-all', tokens: 6, idsSha256: expect.stringMatching(/^[0-9a-f]{64}$/) }],
        cases: 1,
        positionsByValue: 6,
        decodeSteps: 4,
        differingValues: 0,
        failures: [],
      })),
    });
    const { gates } = await verify(path, '-m', TINY);
    expect(gates).toMatchObject({ parity: 'pass', model: 'pass', binaries: 'pass', subjects: 'pass', digest: 'pass' });
    expect(await verify(path, '-m', MODEL)).toMatchObject({ code: 1, failed: ['model'] });
    const asked = [
      '--require-gpu-kernels',
      '--require-quantized-kernels',
      '--min-tps',
      '1',
      '-m',
      TINY,
      '--replay',
      '2',
    ];
    const failed = ['quantized-kernels', 'gpu-kernels', 'throughput', 'replay'];
    expect(await verify(path, ...asked)).toMatchObject({ code: 1, failed });
  });

  test('of what differs does not pass, and --key signs it', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'receipt.json');
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const key = await fileOf(privateKey.export({ type: 'pkcs8', format: 'pem' }), 'key.pem');
    const own = ['crossval', '-p', 'Once', '--reference-numerics', 'avx2', '--max-tokens', '2', '--key', key];
    expect(await bittern([...own, '--receipt', path])).toMatchObject({ code: 0 }); // within the playbook's limits
    const verified = await verify(
      path,
      '--key',
      await fileOf(publicKey.export({ type: 'spki', format: 'pem' }), 'p.pem'),
    );
    expect(verified).toMatchObject({ code: 1, failed: ['parity'], gates: { signature: 'pass' } });
    expect(verified.reasons['parity']).toContain('the reference has avx2 numerics, the run avx512');
  });

  test('is not written where nothing was compared', async () => {
    const path = join(await temporaryFolder(), 'receipt.json');
    const outcome = await bittern(['crossval', '-m', TINY, '--reference', RECORDING, '--exact', '--receipt', path]);
    expect(outcome.code).toBe(3);
    await expect(readFile(path)).rejects.toThrow('ENOENT');
    expect(await bittern([...argv, '--key', 'key.pem'])).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('verify-receipt', () => {
  const keys = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  let bytes: Buffer;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bittern-receipt-'));
    try {
      const path = join(folder, 'receipt.json');
      await bittern(['benchmark', ...QUICK, '--receipt', path]);
      bytes = await readFile(path);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  /** Sealed again by the producer's own code, with other content. */
  async function changed(change: (content: ReceiptContent) => ReceiptContent): Promise<string> {
    const { version: _version, digest: _digest, prompt, generated, ...rest } = benchmarkIn(bytes);
    const content = {
      ...rest,
      prompt: { text: prompt.text, ids: prompt.ids },
      generated: { ids: generated.ids, logitsSha256: generated.logitsSha256 },
    };
    return fileOf(await sealReceipt(change(content)), 'receipt.json');
  }

  test('text: a line for each gate, and the verdict', async () => {
    const path = await fileOf(bytes, 'receipt.json');
    const { code, stdout, stderr } = await bittern(['verify-receipt', path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^counts +pass +\d+ kernels in prefill/m);
    expect(stdout).toMatch(/^gpu-kernels +not applicable +GPU kernels are not required$/m);
    expect(stdout).toMatch(/^decode [\d.]+ tokens\/s, p95 [\d.]+ ms a step; prefill [\d.]+ tokens\/s$/m);
    expect(stdout).toMatch(/receipt\.json: passed\n$/);
    const failed = await bittern(['verify-receipt', path, '--require-gpu-kernels']);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toMatch(
      /^gpu-kernels +FAIL +the products were computed by kernels that are not registered for a GPU: /m,
    );
    expect(failed.stdout).toMatch(/FAILED: gpu-kernels\n$/);
  });

  test('JSON is one document, with the figures that follow from the samples', async () => {
    const path = await fileOf(bytes, 'receipt.json');
    const { stdout } = await bittern(['verify-receipt', path, '--json']);
    const { verdict, figures } = JSON.parse(stdout);
    const { runs } = benchmarkIn(bytes);
    expect({ verdict, count: figures.decode.count }).toEqual({ verdict: 'pass', count: runs.length * 3 });
    const sorted = runs.flatMap(({ decodeMs }) => decodeMs).toSorted((a, b) => a - b);
    expect(figures.decode.median).toBeCloseTo((sorted[2]! + sorted[3]!) / 2, 9);
  });

  test.each([
    ['--require-gpu-kernels', [], ['gpu-kernels']],
    ['--min-tps', ['1000000000'], ['throughput']],
  ])('%s', async (option, value, failed) => {
    expect(await verify(await fileOf(bytes, 'r.json'), option, ...value)).toMatchObject({ code: 1, failed });
  });

  test('another model, another tokenizer', async () => {
    const path = await fileOf(bytes, 'r.json');
    const other = await verify(path, '-m', TINY, '--replay', '2');
    expect(other).toMatchObject({ code: 1, failed: ['model'], gates: { replay: 'not applicable' } });
    expect(other.reasons['replay']).toContain('not run again');
    const tokenizer = await verify(path, '-m', MODEL, '--tokenizer', TINY);
    expect(tokenizer).toMatchObject({ code: 1, failed: ['model'] });
    expect(tokenizer.reasons['model']).toContain('another tokenizer');
  });

  test('ids, logits or a prompt that the model does not give', async () => {
    const ids = benchmarkIn(bytes).generated.ids.toReversed();
    const otherIds = await changed((content) => ({
      ...content,
      generated: { ...content.generated, ids },
      runs: content.runs.map((run) => ({ ...run, ids })),
    }));
    expect(await verify(otherIds)).toMatchObject({ code: 0, failed: [] });
    expect(await verify(otherIds, '-m', MODEL, '--replay', '4')).toMatchObject({ code: 1, failed: ['replay'] });

    const logitsSha256 = ids.map((_, index) => index.toString(16).repeat(64));
    const otherLogits = await changed((content) => ({ ...content, generated: { ...content.generated, logitsSha256 } }));
    expect(await verify(otherLogits, '-m', MODEL, '--replay', '1')).toMatchObject({ code: 1, failed: ['replay'] });

    const otherText = await changed((content) => ({ ...content, prompt: { ...content.prompt, text: 'Twice' } }));
    expect(await verify(otherText, '-m', MODEL)).toMatchObject({ code: 1, failed: ['model'] });
  });

  test('kernels of another build', async () => {
    const path = await changed((content) => ({ ...content, kernels: { ...content.kernels, sha256: 'b'.repeat(64) } }));
    expect(await verify(path)).toMatchObject({ code: 0, failed: [], gates: { binaries: 'not applicable' } });
    expect(await verify(path, '--require-same-binaries')).toMatchObject({ code: 1, failed: ['binaries'] });
    const own = await fileOf(bytes, 'r.json');
    expect(await verify(own, '--require-same-binaries')).toMatchObject({ code: 0, gates: { binaries: 'pass' } });
  });

  test.each(['exact', 'screened', 'mixed', 'parity'])(
    'a receipt that another build made is accepted: %s',
    async (name) => {
      const path = fileURLToPath(new URL(`../../../packages/receipts/test/fixtures/${name}.receipt`, import.meta.url));
      expect(await verify(path)).toMatchObject({ code: 0, failed: [] });
    },
  );

  test('more tokens than there are cannot be run again', async () => {
    const path = await fileOf(bytes, 'r.json');
    expect(await verify(path, '-m', MODEL, '--replay', '5')).toMatchObject({ code: 1, failed: ['replay'] });
  });

  test('--key: signed by it, by another, or not at all', async () => {
    const [key, publicKey] = [await fileOf(keys.privateKey, 'key.pem'), await fileOf(keys.publicKey, 'public.pem')];
    const path = await receiptOf(['--key', key]);
    expect(await verify(path, '--key', publicKey)).toMatchObject({ code: 0, gates: { signature: 'pass' } });
    expect(await verify(path)).toMatchObject({ code: 0, gates: { signature: 'not applicable' } });
    const other = await fileOf(
      generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }),
      'o.pem',
    );
    expect(await verify(path, '--key', other)).toMatchObject({ code: 1, failed: ['signature'] });
    const unsigned = await fileOf(bytes, 'r.json');
    expect(await verify(unsigned, '--key', publicKey)).toMatchObject({ code: 1, failed: ['signature'] });
    const bad = await bittern(['verify-receipt', unsigned, '--key', unsigned]);
    expect({ code: bad.code, stdout: bad.stdout }).toEqual({ code: 1, stdout: '' });
    expect(bad.stderr).toContain('no public key');
  });

  test('what is no receipt ends with 1, and every gate is told', async () => {
    const { code, failed, gates } = await verify(await fileOf('{}', 'r.json'), '-m', MODEL, '--replay', '2');
    expect({ code, failed }).toEqual({ code: 1, failed: ['schema'] });
    expect(Object.values(gates).filter((status) => status === 'not applicable')).toHaveLength(18);
  });

  test('bad usage ends with 2 and prints nothing', async () => {
    const path = await fileOf(bytes, 'r.json');
    for (const argv of [
      [path, '--replay', '2'],
      [path, '--replay', '0', '-m', MODEL],
      [`${path}.none`],
      [dirname(path)],
      ['/dev/null'],
      [],
      [path, '--format', 'xml'],
      [path, '--key', `${path}.none`],
    ]) {
      const { code, stdout } = await bittern(['verify-receipt', ...argv]);
      expect({ argv, code, stdout }).toEqual({ argv, code: 2, stdout: '' });
    }
  });
});

describe('benchmark', () => {
  test('prints medians, p95 and spread; JSON has every sample', async () => {
    const { code, stdout, stderr } = await bittern(['benchmark', ...QUICK]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/: 5 tokens of a prompt, 4 generated, 2 runs, 1 thread\n/);
    for (const name of ['prefill', 'first token', 'decode step']) {
      expect(stdout).toMatch(new RegExp(`^${name} +[\\d.]+ +[\\d.]+ +[\\d.]+ to [\\d.]+`, 'm'));
    }
    const json = JSON.parse((await bittern(['benchmark', ...QUICK, '--json'])).stdout);
    expect(json).toMatchObject({ promptTokens: 5, tokens: 4, repeats: 2, receipt: null });
    expect(json.decode.samples).toHaveLength(2 * 3);
    expect(json.prefill.samples).toHaveLength(2);
    expect(json.ids).toHaveLength(4);
    const { generated } = JSON.parse(
      (await bittern(['run', '-p', 'Once upon a time', '--greedy', '-n', '4', '--json'])).stdout,
    );
    expect(json.ids).toEqual(generated);
  });

  test('shows progress where somebody watches', async () => {
    const shown: string[] = [];
    await bittern(['benchmark', ...QUICK], { isTTY: true, onProgress: (text) => shown.push(text) });
    expect(shown.join()).toMatch(/Warming up.*Run 1 of 2.*Run 2 of 2/s);
  });

  test.each([
    [['--tokens', '1'], 'from 2 up'],
    [['--tokens', '600'], 'do not fit: the context holds 512'],
    [['--repeats', '0'], 'from 1 to 1000'],
    [['--repeats', '1001'], 'from 1 to 1000'],
    [['--warmup', '1001'], 'from 0 to 1000'],
    [['--buffer', '4096'], 'from 1 to 4080'],
    [['--receipt', dirname(TINY)], 'it is a folder'],
    [['--receipt', '/no-such-file/'], 'the path of a file'],
    [['--key', 'key.pem'], 'give --receipt'],
    [['--reference', RECORDING], 'give --receipt'],
    [['--reference', RECORDING, '--receipt', 'r.json', '--kv-type', 'f32'], 'f16 cache'],
    [['--receipt', '/no/such/folder/receipt.json'], 'no such file or folder'],
  ])('%j is bad usage', async (argv, message) => {
    const { code, stdout, stderr } = await bittern(['benchmark', ...argv]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });

  test('a recording of another model, or of other numerics, ends with 3 before anything is measured', async () => {
    const path = join(await temporaryFolder(), 'receipt.json');
    const argv = ['benchmark', ...QUICK, '-m', TINY, '--receipt', path, '--reference', RECORDING];
    expect(await bittern(argv)).toMatchObject({ code: 3, stdout: '' });
    await expect(readFile(path)).rejects.toThrow('ENOENT');
  });

  test('a key that is none ends with 1 before anything is measured', async () => {
    const path = join(await temporaryFolder(), 'receipt.json');
    const outcome = await bittern(['benchmark', ...QUICK, '--receipt', path, '--key', await fileOf('key', 'key.pem')]);
    expect(outcome).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('key.pem: This is no private key'),
    });
  });

  test('a receipt that cannot be written is told', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'file'), '');
    const { code } = await bittern(['benchmark', ...QUICK, '--receipt', join(folder, 'file', 'receipt.json')]);
    expect(code).toBe(2);
  });
});
