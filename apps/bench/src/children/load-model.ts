import { performance } from 'node:perf_hooks';
import { loadModel, type LoadModelOptions } from '@bittern/engine';
import { openFile } from '@bittern/gguf-parser/node';
import { v8FlagsSet } from '@bittern/kernels';
import { childTask, finishChild } from '../child.ts';
import { peakMemoryBytes } from '../peak-memory.ts';

export interface LoadTask {
  readonly path: string;
  readonly options: Pick<LoadModelOptions, 'threads' | 'numerics' | 'kernels'>;
}

export interface Loaded {
  readonly durationMs: number;
  readonly peakMemoryBytes: number;
  readonly v8Flags: readonly string[];
}

const { path, options } = childTask<LoadTask>();
const start = performance.now();
const source = await openFile(path);
const model = await loadModel(source, { ...options, revectorize: true });
const durationMs = performance.now() - start;
const loaded: Loaded = { durationMs, peakMemoryBytes: peakMemoryBytes(), v8Flags: v8FlagsSet() };
model.dispose();
await source.close();
finishChild(loaded);
