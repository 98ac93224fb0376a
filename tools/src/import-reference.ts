/**
 * Takes a model file and the recordings of it into a folder of ours: the model, `recording/` and `MANIFEST.json`.
 *
 *   node tools/src/import-reference.ts --model FILE.gguf --reference DIR --out DIR [--trace-values all|pN.REFERENCE.MODE]...
 *
 * Of a trace that is not named by --trace-values only digests are kept, and the attention probabilities.
 * Needs `packages/crossval` built.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256 } from '@bittern/crossval';
import { convertRecording } from './convert-recording.ts';
import { writeManifest } from './manifest.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    reference: { type: 'string' },
    out: { type: 'string' },
    'trace-values': { type: 'string', multiple: true, default: [] },
  },
});
const { model, reference, out, 'trace-values': traceValues } = options;
if (model === undefined || reference === undefined || out === undefined) {
  throw new Error('Usage: import-reference.ts --model FILE.gguf --reference DIR --out DIR [--trace-values NAME]...');
}

const modelFile = basename(model);
const modelBytes = await readFile(model);
const { json, values } = await convertRecording({
  reference,
  modelSha256: await sha256(modelBytes),
  traceValues,
});
await mkdir(join(out, 'recording'), { recursive: true });
await writeFile(join(out, modelFile), modelBytes);
await writeFile(join(out, 'recording/recording.json'), json);
await writeFile(join(out, 'recording/values.safetensors'), values);
const flags = traceValues.map((name) => ` --trace-values ${name}`).join('');
const manifest = await writeManifest(
  out,
  'A model with random weights, and what bitnet.cpp computed for it.',
  `node tools/src/import-reference.ts --model MODELS/${modelFile} --reference REFERENCE/${basename(reference)} --out tools/fixtures/${basename(out)}${flags}`,
  [modelFile, 'recording/recording.json', 'recording/values.safetensors'],
);
for (const { file, bytes } of manifest.files) console.log(`${String(bytes).padStart(9)}  ${file}`);
