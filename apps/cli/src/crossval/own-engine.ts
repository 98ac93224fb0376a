import type { LadderCase, NoiseVariant } from '@bittern/crossval';
import type { Numerics } from '@bittern/engine';
import { engineSide } from '../engine-side.ts';
import { UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { type LoadOptions, openModelFile, sha256OfFile } from '../model-file.ts';
import { loadTokenizer } from '../tokenizer-file.ts';
import { type CrossvalOptions, DEFAULT_MAX_TOKENS } from './options.ts';
import { promptsOf } from './prompts.ts';
import type { OpenedReference, OurModel, ReferenceRun } from './reference.ts';

/** Our own engine, on another file or with other numerics, on weights of its own. */
export async function ownEngine(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  const { referenceModel, referenceNumerics, mode = 'batch-all', maxTokens = DEFAULT_MAX_TOKENS } = options;
  const prompts = promptsOf(options, ours.tokenizer);
  if (prompts === undefined) throw new UsageError('A reference that is no recording needs a prompt: give -p.');
  const numerics = referenceNumerics ?? options.numerics ?? 'avx512';
  await using opening = new AsyncDisposableStack();
  const file = opening.use(await openModelFile(referenceModel ?? ours.file.path, io));
  const sha256 = referenceModel === undefined ? ours.sha256 : await sha256OfFile(file.path, io.signal);
  // Its own tokenizer, not the one that --tokenizer chooses for us: two sides that share one cannot differ.
  const hasTokenizer = file.gguf.metadata.has('tokenizer.ggml.tokens');
  const { tokenizer } = await loadTokenizer(file, hasTokenizer ? {} : options, io);
  const load = async (build: Numerics, changes: Partial<LoadOptions> = {}) =>
    engineSide(opening.use(await file.load(build, { ...options, ...changes })), tokenizer, sha256);
  const side = opening.use(await load(numerics));
  const variants: NoiseVariant[] = [{ name: `${numerics} ${mode}`, side, mode }];
  if (options.calibrate) {
    const otherMode = mode === 'sequential' ? 'batch-all' : 'sequential';
    const otherBuild = numerics === 'avx2' ? 'avx512' : 'avx2';
    const [again, threads, build] = [
      opening.use(await load(numerics)),
      opening.use(await load(numerics, { threads: 2 })),
      opening.use(await load(otherBuild)),
    ];
    variants.push(
      { name: `${numerics} ${otherMode}`, side: again, mode: otherMode },
      { name: `${numerics} ${mode}, 2 threads`, side: threads, mode },
      { name: `${otherBuild} ${mode}`, side: build, mode },
    );
  }
  const { tracePositions: traceLength } = options;
  const cases: LadderCase[] = [];
  for (const [index, prompt] of prompts.entries()) {
    const ids = await side.tokenize(prompt.text, { parseSpecial: prompt.parseSpecial });
    const id = `p${index}.${mode}`;
    cases.push({ id, ...prompt, ids, mode, greedyCount: maxTokens, trace: true, traceLength });
  }
  const run: ReferenceRun = {
    label: `bittern ${numerics}`,
    side,
    numerics: options.numerics ?? 'avx512',
    cases,
    sameModel: referenceModel === undefined,
    variants,
  };
  const opened = opening.move();
  return { backend: 'bittern', runs: [run], notInstalled: [], [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
