import { performance } from 'node:perf_hooks';
import { openGguf } from '@bittern/gguf-parser';
import { openFile } from '@bittern/gguf-parser/node';
import { gguf } from '@huggingface/gguf';
import { childTask, finishChild } from '../child.ts';
import { peakMemoryBytes } from '../peak-memory.ts';

export interface OpenTask {
  readonly engine: '@bittern/gguf-parser' | '@huggingface/gguf';
  readonly path: string;
  /** Whether every metadata value is asked for; else the file is opened and checked only. */
  readonly values: boolean;
}

export interface Opened {
  readonly durationMs: number;
  readonly peakMemoryBytes: number;
  readonly addedMemoryBytes: number;
  readonly tensors: number;
}

const OPEN: Readonly<Record<OpenTask['engine'], (task: OpenTask) => Promise<number>>> = {
  async '@bittern/gguf-parser'({ path, values }) {
    const source = await openFile(path);
    try {
      const { metadata, tensors } = await openGguf(source);
      if (values) for (const key of metadata.keys()) metadata.get(key);
      return tensors.size;
    } finally {
      await source.close();
    }
  },
  /** Its metadata are all there once it has opened a file. */
  async '@huggingface/gguf'({ path }) {
    const { tensorInfos } = await gguf(path, { allowLocalFile: true });
    return tensorInfos.length;
  },
};

const task = childTask<OpenTask>();
const before = peakMemoryBytes();
const start = performance.now();
const tensors = await OPEN[task.engine](task);
const durationMs = performance.now() - start;
const peak = peakMemoryBytes();
const opened: Opened = { durationMs, peakMemoryBytes: peak, addedMemoryBytes: peak - before, tensors };
finishChild(opened);
