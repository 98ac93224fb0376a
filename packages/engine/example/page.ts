import { loadTextModel, type TextModel } from '@bittern/engine/text';
import { openUrl, sourceFromBlob } from '@bittern/gguf-parser';

const STORYTELLER = new URL('../../storyteller/model/storyteller.i2_s.gguf', import.meta.url);

const element = <T extends HTMLElement>(id: string): T => document.querySelector<T>(`#${id}`)!;
const file = element<HTMLInputElement>('file');
const prompt = element<HTMLInputElement>('prompt');
const generate = element<HTMLButtonElement>('generate');
const stop = element<HTMLButtonElement>('stop');
const status = element('status');
const text = element('text');

let model: TextModel | undefined;
let controller = new AbortController();

file.addEventListener('change', () => {
  model?.dispose();
  model = undefined;
});
stop.addEventListener('click', () => controller.abort());
element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});

async function run(): Promise<void> {
  controller = new AbortController();
  const { signal } = controller;
  generate.disabled = true;
  stop.disabled = false;
  text.textContent = '';
  try {
    model ??= await load(signal);
    using session = model.createSession();
    text.textContent = prompt.value;
    const start = performance.now();
    let count = 0;
    for await (const piece of session.generate(prompt.value, { maxTokens: 100, signal })) {
      text.append(piece.text);
      count += 1;
      const perSecond = (1000 * count) / (performance.now() - start);
      status.textContent = `${count} tokens, ${perSecond.toFixed(1)} tokens/s, ${model.threads} thread(s)`;
    }
    status.textContent += '. Done.';
  } catch (error) {
    status.textContent = signal.aborted ? 'Stopped.' : String(error);
  } finally {
    generate.disabled = false;
    stop.disabled = true;
  }
}

/** A file is read in pieces, and a URL by ranges: neither is in memory as a whole. */
async function load(signal: AbortSignal): Promise<TextModel> {
  const [chosen] = file.files ?? [];
  const source = chosen ? sourceFromBlob(chosen) : await openUrl(STORYTELLER, { signal });
  return await loadTextModel(source, {
    signal,
    onProgress({ loadedBytes, totalBytes }) {
      status.textContent = `Loading: ${Math.floor((100 * loadedBytes) / totalBytes)} %`;
    },
  });
}
