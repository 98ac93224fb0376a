import { openUrl, sourceFromBlob } from '@bittern/gguf-parser';
import { expect, test } from 'vitest';
import { loadTextModel, templateOf } from '../src/text.ts';

// Text in a page, by the model of the repository: what bitnet.cpp computed for it, from a File and from a URL.

interface Recording {
  readonly runs: readonly {
    readonly text: string;
    readonly reference: string;
    readonly mode: string;
    readonly ids: readonly number[];
    readonly rows: readonly { readonly sha256: string }[];
    readonly greedy: readonly number[];
  }[];
}

/** The test server's root is the repository's. */
const url = (path: string): URL => new URL(`/packages/${path}`, location.origin);
const MODEL = url('storyteller/model/storyteller.i2_s.gguf');

const { runs } = (await (await fetch(url('storyteller/recording/recording.json'))).json()) as Recording;
const recorded = runs.filter(({ reference, mode }) => reference === 'avx512' && mode === 'batch-last');

async function digest(row: Float32Array): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', Float32Array.from(row));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const SOURCES = {
  'a File': async () => sourceFromBlob(new File([await (await fetch(MODEL)).blob()], 'storyteller.gguf')),
  'a URL, by ranges': () => openUrl(MODEL),
};

test.each((['a File', 'a URL, by ranges'] as const).flatMap((from) => [1, 2].map((threads) => ({ from, threads }))))(
  'from $from, $threads thread(s)',
  async ({ from, threads }) => {
    using model = await loadTextModel(await SOURCES[from](), { threads });
    using session = model.createSession();
    expect(model.threads).toBe(threads);
    expect(recorded.length).toBeGreaterThan(3);
    for (const run of recorded) {
      expect(await digest(await session.prompt(run.ids))).toBe(run.rows[0]!.sha256);
      const ids: number[] = [];
      let text = '';
      for await (const piece of session.generate(run.ids, { maxTokens: 12, stopIds: new Set() })) {
        ids.push(piece.id);
        text += piece.text;
      }
      expect(ids).toEqual(run.greedy.slice(0, 12));
      expect(text).toBe(model.tokenizer.decode(run.greedy.slice(0, 12), { skipSpecial: true }));
      using restored = model.restoreSession(session.save());
      expect(await digest(await restored.evaluate([7]))).toBe(await digest(await session.evaluate([7])));
    }
  },
);

test('a chat, an abort, and the default of threads', async () => {
  using model = await loadTextModel(await openUrl(MODEL));
  expect(crossOriginIsolated).toBe(true);
  expect(model.threads).toBe(1); // a small model
  const template = templateOf(model);
  const { ids } = template.encode([{ role: 'user', content: 'Why?' }]);
  using session = model.createSession();
  const controller = new AbortController();
  let count = 0;
  const running = async (): Promise<void> => {
    for await (const _ of session.generate(ids, { stopIds: template.stopIds, signal: controller.signal })) {
      count += 1;
      if (count === 5) controller.abort(new Error('enough'));
    }
  };
  await expect(running()).rejects.toThrow('enough');
  expect(count).toBe(5);
});

test('the example page generates text', async () => {
  const frame = document.createElement('iframe');
  frame.src = url('engine/example/index.html').href;
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
  document.body.append(frame);
  await loaded;
  const page = frame.contentDocument!;
  const textOf = (id: string): string => page.querySelector(`#${id}`)?.textContent ?? `no #${id}: ${page.URL}`;
  page.querySelector<HTMLButtonElement>('#generate')!.click();
  await expect
    .poll(() => textOf('status'), { timeout: 30_000 })
    .toMatch(/^100 tokens, .* tokens\/s, 1 thread\(s\)\. Done\.$/);
  using model = await loadTextModel(await openUrl(MODEL));
  using session = model.createSession();
  let expected = 'Once upon a time';
  for await (const piece of session.generate('Once upon a time', { maxTokens: 100 })) expected += piece.text;
  expect(textOf('text')).toBe(expected);
  // A prompt that is stopped
  page.querySelector<HTMLButtonElement>('#generate')!.click();
  await expect.poll(() => textOf('status'), { timeout: 30_000 }).toMatch(/^\d+ tokens/);
  page.querySelector<HTMLButtonElement>('#stop')!.click();
  await expect.poll(() => textOf('status'), { timeout: 30_000 }).toMatch(/^(?:Stopped|100 tokens.*Done)\.$/);
  frame.remove();
});
