import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EvaluationMode, Recording } from '@bittern/crossval';
import { EVALUATION_MODES } from '@bittern/engine';
import { recordingUrl } from '@bittern/storyteller';
import { NotComparedError, UsageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { openLiveBitnet } from '../live/compare-bitnet.ts';
import { findLlama, LLAMA_NUMERICS, openLiveLlama } from '../live/compare-llama.ts';
import { type LiveRequest, promptsFor } from '../live/live-cases.ts';
import { withoutFusedTaps } from '../live/mainline-taps.ts';
import { bridgeTilings, readTl1Tiling } from '../tl1-tiling-file.ts';
import { type CrossvalOptions, DEFAULT_LIVE_TOKENS } from './options.ts';
import { promptsOf } from './prompts.ts';
import { readRecording, requireSameModel } from './recorded.ts';
import type { OpenedReference, OurModel, ReferenceRun } from './reference.ts';

/** The bitnet.cpp that BITNET_CPP_DIR names, on our model's file. */
export async function liveBitnet(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  const modes = options.mode === undefined ? EVALUATION_MODES : [options.mode];
  const request = { ...(await requestOf(options, ours)), modes };
  await using opening = new AsyncDisposableStack();
  const live = opening.use(await openLiveBitnet(ours.file.path, request, io));
  refuseOtherNumerics(options.numerics, live.numerics);
  const { side, numerics, cases } = live;
  const run: ReferenceRun = {
    label: `bitnet.cpp ${numerics}`,
    side,
    numerics,
    cases,
    sameModel: true,
    variants: noiseModes(options.mode).map((mode) => ({ name: `bitnet.cpp ${mode}`, side, mode })),
  };
  const opened = opening.move();
  return {
    backend: 'bitnet',
    runs: [run],
    notInstalled: [],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The llama.cpp that LLAMA_CPP_DIR names, else that of npm, on an equivalent of our model's file. */
export async function liveLlama(options: CrossvalOptions, ours: OurModel, io: Io): Promise<OpenedReference> {
  if (options.mode !== undefined && options.mode !== 'sequential') {
    throw new UsageError(
      `llama.cpp sums another way than bitnet.cpp in a batch, so only --mode sequential can be compared with it, not ${options.mode}.`,
    );
  }
  // Of `installed` they choose among what was recorded.
  if (options.cppBackend === 'llama') refuseOtherNumerics(options.numerics, LLAMA_NUMERICS);
  const library = await findLlama(io);
  const { path, gguf } = ours.file;
  const tilings = await readTl1Tiling(options.tl1Tiling);
  await using opening = new AsyncDisposableStack();
  const live = opening.use(
    await openLiveLlama(
      library,
      {
        path,
        identity: { file: basename(gguf.source.name), sha256: ours.sha256 },
        translate: { i2sPacking: options.layout, ...(tilings && { tl1Tilings: bridgeTilings(tilings) }) },
      },
      await requestOf(options, ours),
      io,
    ),
  );
  const { side, cases } = live;
  const run: ReferenceRun = {
    label: `llama.cpp ${LLAMA_NUMERICS}`,
    side,
    numerics: LLAMA_NUMERICS,
    cases,
    sameModel: true,
    variants: noiseModes('sequential').map((mode) => ({ name: `llama.cpp ${mode}`, side, mode })),
    view: withoutFusedTaps,
    ...(live.compareOperations && { compareOperations: live.compareOperations }),
  };
  const opened = opening.move();
  return { backend: 'llama', runs: [run], notInstalled: [], [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

function refuseOtherNumerics(wanted: CrossvalOptions['numerics'], given: ReferenceRun['numerics']): void {
  if (wanted === undefined || wanted === given) return;
  throw new NotComparedError(`the running reference has numerics ${given}, not ${wanted}. Leave out --numerics.`);
}

async function requestOf(options: CrossvalOptions, ours: OurModel): Promise<Omit<LiveRequest, 'modes'>> {
  return {
    prompts: promptsFor(promptsOf(options, ours.tokenizer), await recordingOf(options, ours)),
    greedyCount: options.maxTokens ?? DEFAULT_LIVE_TOKENS,
    traceLength: options.tracePositions,
  };
}

/** The recording that belongs to our model, for its prompts; undefined for a model without one. */
async function recordingOf({ model, reference }: CrossvalOptions, ours: OurModel): Promise<Recording | undefined> {
  if (reference === undefined && model !== undefined) return undefined;
  const recording = await readRecording(reference ?? fileURLToPath(recordingUrl));
  requireSameModel(recording, ours);
  return recording;
}

/** The mode of the comparison, and another. */
function noiseModes(mode: EvaluationMode = 'batch-all'): readonly EvaluationMode[] {
  return [mode, mode === 'sequential' ? 'batch-all' : 'sequential'];
}
