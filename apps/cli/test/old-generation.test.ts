import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openLlama, type ReferenceLibrary, translateBitnetFile } from '@bittern/cpp-bridge';
import { runLadder, type Side } from '@bittern/crossval';
import { EVALUATION_MODES, loadModel } from '@bittern/engine';
import { openGguf } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { tokenizerFromGguf } from '@bittern/tokenizer';
import { describe, expect, test } from 'vitest';
import { bridgeIdentity, bridgeSide } from '../src/bridge-side.ts';
import { engineSide } from '../src/engine-side.ts';
import { liveCases, promptsFor } from '../src/live/live-cases.ts';
import { B3889_LAYOUTS } from './layouts-b3889.ts';
import { MODEL, temporaryFolder } from './support.ts';

/*
 * bitnet.cpp cannot come from npm, but a llama.cpp of the same months can: the same API, struct layouts and float order, in all
 * three modes. Only the ternary products are the hooks'. So what serves the old API is run by a real library of it.
 */

const FIXTURES = fileURLToPath(new URL('../../../tools/fixtures/', import.meta.url));

function oldLibrary(): ReferenceLibrary {
  const entry = createRequire(import.meta.url).resolve('llama-cpp-b3889');
  const folder = join(dirname(dirname(entry)), 'bins', 'linux-x64');
  return {
    backend: 'llama',
    origin: 'llama.cpp b3889',
    generation: 'old',
    compilers: [],
    files: { llama: join(folder, 'libllama.so'), ggml: join(folder, 'libggml.so') },
    layouts: B3889_LAYOUTS,
  };
}

/** Without the feed-forward's inner operations: weights with a scale and the hooks give them other names. */
function withoutGate(side: Side): Side {
  return {
    ...side,
    trace: (ids, { onTap, ...options }) =>
      side.trace(ids, {
        ...options,
        onTap: (tap) => {
          if (!/^ffn_(?:gate|up|silu|relu|sqr\(relu\)|out|sub_out)(?:_s)?-/.test(tap.name)) onTap(tap);
        },
      }),
  };
}

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('a llama.cpp of the old API', () => {
  test.each([
    ['the storyteller (ReLU²)', MODEL, ['Once upon a time']],
    ['a random model with SiLU', join(FIXTURES, 'tiny-random-bitnet/tiny-random-bitnet.i2_s.gguf'), undefined],
  ])('%s: every bit in every mode', async (_, model, prompts) => {
    const output = join(await temporaryFolder(), 'model.gguf');
    const hooks = await translateBitnetFile({ model, output }, { weights: 'F16' });
    await using backend = await openLlama({ model: output, library: oldLibrary(), hooks, keys: 'f16', values: 'f16' });
    expect(backend.info.knownAnswerError).toBeGreaterThan(0);
    await using source = await openFile(model);
    const gguf = await openGguf(source);
    using loaded = await loadModel(gguf, { numerics: 'avx2' });
    using ours = engineSide(loaded, tokenizerFromGguf(gguf.metadata), backend.info.model.sha256);
    const side = bridgeSide(backend, bridgeIdentity(backend.info, 'avx2'));
    const { signal } = new AbortController();
    const given = prompts?.map((text) => ({ text, parseSpecial: true }));
    const request = { prompts: promptsFor(given, undefined), modes: EVALUATION_MODES, greedyCount: 8 };
    const cases = await liveCases(side, request, signal);
    const report = await runLadder({ ours: withoutGate(ours), reference: withoutGate(side), cases, exact: true });
    expect(report.failures).toEqual([]);
    expect(report.verdict).toBe('pass');
    expect(report.counts).toMatchObject({ differingValues: 0, cases: cases.length, tapsByDigest: 0, rowsByDigest: 0 });
    expect(report.counts.decodeSteps).toBe(8 * cases.length);
  });
});
