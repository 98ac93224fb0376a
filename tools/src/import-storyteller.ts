/**
 * Replaces the model of packages/storyteller and what bitnet.cpp computed for it. Nothing else has to change.
 *
 *   node tools/src/import-storyteller.ts --model DIR --reference DIR
 *
 * The model's folder holds storyteller.i2_s.gguf, tokenizer.json, tokenizer_config.json, config.json and PROVENANCE.md.
 * Needs `packages/crossval` built.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sha256 } from '@bittern/crossval';
import { convertRecording } from './convert-recording.ts';
import { writeManifest } from './manifest.ts';

const MODEL_FILES = [
  'storyteller.i2_s.gguf',
  'tokenizer.json',
  'tokenizer_config.json',
  'config.json',
  'PROVENANCE.md',
] as const;

const { values: options } = parseArgs({ options: { model: { type: 'string' }, reference: { type: 'string' } } });
const { model, reference } = options;
if (model === undefined || reference === undefined) {
  throw new Error('Usage: import-storyteller.ts --model DIR --reference DIR');
}

const out = fileURLToPath(new URL('../../packages/storyteller/', import.meta.url));
// Convert first: a recording of another model stops here, before anything is replaced.
const { json, values } = await convertRecording({
  reference,
  modelSha256: await sha256(await readFile(join(model, MODEL_FILES[0]))),
  traceValues: ['all'],
});
await mkdir(join(out, 'model'), { recursive: true });
await mkdir(join(out, 'recording'), { recursive: true });
for (const file of MODEL_FILES) {
  // Not copyFile, which would also copy a read-only mode.
  await writeFile(join(out, 'model', file), await readFile(join(model, file)));
}
await writeFile(join(out, 'recording/recording.json'), json);
await writeFile(join(out, 'recording/values.safetensors'), values);
const manifest = await writeManifest(
  out,
  'The storyteller model, and what bitnet.cpp computed for it.',
  'node tools/src/import-storyteller.ts --model MODEL --reference REFERENCE',
  [...MODEL_FILES.map((file) => `model/${file}`), 'recording/recording.json', 'recording/values.safetensors'],
);
for (const { file, bytes } of manifest.files) console.log(`${String(bytes).padStart(9)}  ${file}`);
