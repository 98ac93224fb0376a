import { openRecording } from './recording.ts';
import { RECORDING_FORMAT, RECORDING_VERSION, type RecordingDocument } from './recording-format.ts';
import { writeSafetensors } from './safetensors.ts';
import { sha256 } from './sha256.ts';

export interface RecordingFiles {
  /** `recording.json` */
  readonly json: Uint8Array<ArrayBuffer>;
  /** `values.safetensors` */
  readonly values: Uint8Array;
}

/**
 * The two files of a recording, opened once as a check. The same input gives the same bytes.
 *
 * @param arrays - under the SHA-256 of their bytes; each must be part of a run or trace
 * @throws CrossvalError for what `openRecording` refuses
 */
export async function writeRecording(
  recording: Omit<RecordingDocument, 'format' | 'version' | 'values'>,
  arrays: ReadonlyMap<string, Float32Array>,
): Promise<RecordingFiles> {
  const values = writeSafetensors(
    Array.from(arrays, ([name, array]) => [name, { shape: [array.length], values: array }] as const),
  );
  const { model, vocabSize, context, references, runs, traces } = recording;
  const described = { sha256: await sha256(values), bytes: values.length, arrays: arrays.size };
  const json = new TextEncoder().encode(
    formatDocument({
      format: RECORDING_FORMAT,
      version: RECORDING_VERSION,
      model,
      vocabSize,
      context,
      references,
      values: described,
      runs,
      traces,
    }),
  );
  await openRecording(async (file) => (file === 'recording.json' ? json : values));
  return { json, values };
}

/** JSON with one line for each row and node: compact, and a change shows as the lines it touches. */
function formatDocument(document: RecordingDocument): string {
  const { runs, traces, ...head } = document;
  const runTexts = runs.map(({ rows, generated, ...run }) => {
    const start = JSON.stringify(run).slice(0, -1);
    return `${start},"rows":[\n${lines(rows)}],"generated":[\n${lines(generated)}]}`;
  });
  const traceTexts = traces.map(({ nodes, ...trace }) => {
    return `${JSON.stringify(trace).slice(0, -1)},"nodes":[\n${lines(nodes)}]}`;
  });
  const start = JSON.stringify(head).slice(0, -1);
  return `${start},\n"runs":[\n${runTexts.join(',\n')}],\n"traces":[\n${traceTexts.join(',\n')}]}\n`;
}

function lines(items: readonly unknown[]): string {
  return items.map((item) => JSON.stringify(item)).join(',\n');
}
