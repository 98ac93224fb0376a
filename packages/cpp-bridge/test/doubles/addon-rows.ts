/*
 * Rows of logits as the npm package's own addon gives them, without a line of the bridge: JSON to a file, since the addon
 * writes to both streams. Arguments: the addon's folder, a model, ids, the file.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** What is used of the addon, as node-llama-cpp 3.22.1 calls it. */
interface Addon {
  loadBackends(folder: string): void;
  init(): Promise<void>;
  AddonModel: new (path: string, options: object) => { init(): Promise<boolean> };
  AddonContext: new (
    model: object,
    options: object,
  ) => {
    init(): Promise<boolean>;
    initBatch(length: number): void;
    addToBatch(sequence: number, start: number, ids: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
    decodeBatch(): Promise<void>;
    /** The fourth of the result are ids and logits in turn, the largest first. */
    sampleToken(index: number, sampler: object, ...flags: boolean[]): Promise<[unknown, unknown, unknown, number[]]>;
  };
  AddonSampler: new (model: object) => { applyConfig(config: object): void };
}

const [folder, path, list, output] = process.argv.slice(2) as [string, string, string, string];
const ids = JSON.parse(list) as number[];
const addon = createRequire(import.meta.url)(join(folder, 'llama-addon.node')) as Addon;
addon.loadBackends(folder);
await addon.init();
const model = new addon.AddonModel(path, { addonExports: addon, gpuLayers: 0 });
await model.init();
const context = new addon.AddonContext(model, {
  contextSize: 512,
  batchSize: 512,
  sequences: 1,
  flashAttention: false,
  threads: 1,
  // ggml's number of F32.
  kvCacheKeyType: 0,
  kvCacheValueType: 0,
});
await context.init();
context.initBatch(ids.length);
const indexes = context.addToBatch(0, 0, Uint32Array.from(ids), Uint32Array.from(ids.keys()));
await context.decodeBatch();
const sampler = new addon.AddonSampler(model);
sampler.applyConfig({ temperature: 0 });
const rows: number[][] = [];
for (const index of indexes) {
  const pairs = (await context.sampleToken(index, sampler, false, false, true))[3];
  const row: number[] = [];
  for (let at = 0; at < pairs.length; at += 2) row[pairs[at]!] = pairs[at + 1]!;
  rows.push(row);
}
writeFileSync(output, JSON.stringify(rows));
