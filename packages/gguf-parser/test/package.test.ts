import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeGguf } from '../src/index.ts';
import * as b from './builder.ts';

/** The packed tarball, installed into an empty folder without a network; the README's examples run there. */
const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const examples = Array.from(readme.matchAll(/^```js\n(.*?)^```$/gms), ([, code]) => code!);
let folder: string;

/** Answers fetch from the folder, by range: the examples name URLs and tests have no network. */
const FETCH_FROM_FOLDER = `
import { readFileSync } from 'node:fs';
globalThis.fetch = async (url, { headers }) => {
  const bytes = readFileSync(new URL(url).pathname.slice(1));
  const [, from, to] = /^bytes=(\\d+)-(\\d+)$/.exec(new Headers(headers).get('Range'));
  const range = 'bytes ' + from + '-' + to + '/' + bytes.length;
  return new Response(bytes.subarray(+from, +to + 1), { status: 206, headers: { 'Content-Range': range } });
};
`;

function shard(number: number): Uint8Array {
  const { VALUE } = b;
  return b.file({
    metadata: [b.entry('split.no', VALUE.u16, b.u16(number)), b.entry('split.count', VALUE.u16, b.u16(2))],
    tensors: [b.tensor({ name: `t${number}` })],
    data: b.ramp(32),
  });
}

beforeAll(async () => {
  if (!existsSync(join(root, 'dist/index.js'))) {
    throw new Error('Build the package first (pnpm run build): its tarball is tested.');
  }
  folder = await mkdtemp(join(tmpdir(), 'gguf-package-'));
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
  });
  const [{ filename }] = JSON.parse(stdout);
  await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', `./${filename}`], {
    cwd: folder,
  });
  await writeFile(join(folder, 'fetch.js'), FETCH_FROM_FOLDER);
  await writeFile(join(folder, 'split-00001-of-00002.gguf'), shard(0));
  await writeFile(join(folder, 'split-00002-of-00002.gguf'), shard(1));
  await writeFile(
    join(folder, 'model.gguf'),
    writeGguf({
      metadata: [['general.architecture', 'string', 'bitnet-b1.58']],
      tensors: [
        { name: 'token_embd.weight', type: 'F16', shape: [2, 4], data: b.ramp(16) },
        { name: 'blk.0.attn_norm.weight', type: 'F32', shape: [4], data: b.concat(...[3, 4, 3, 4].map(b.f32)) },
        {
          name: 'blk.0.attn_q.weight',
          type: 'I2_S',
          shape: [1, 128],
          data: b.concat(new Uint8Array(32), b.f32(2), new Uint8Array(28)),
        },
      ],
    }),
  );
}, 60_000);

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function runExample(code: string): Promise<string> {
  await writeFile(join(folder, 'example.js'), code);
  const { stdout } = await run(process.execPath, ['--import', './fetch.js', 'example.js'], { cwd: folder });
  return stdout;
}

const outputs = [
  "bitnet-b1.58 {\n  name: 'token_embd.weight'",
  '2 tensors of 2 files',
  'blk.0.attn_norm.weight 3.535',
  '',
];

test('the README has these examples', () => {
  expect(examples).toHaveLength(outputs.length);
});

test.each(outputs.map((output, index) => [index, output] as const))('README example %i runs', async (index, output) => {
  expect(await runExample(examples[index]!)).toContain(output);
});

test('every sub-path that package.json names is there', async () => {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const loaded = Object.keys(exports).map(async (path) => {
    const name = `@bittern/gguf-parser${path.slice(1)}`;
    const attributes = path.endsWith('.json') ? ", { with: { type: 'json' } }" : '';
    const code = `console.log(Object.keys(await import('${name}'${attributes})).join(' '));`;
    return (await run(process.execPath, ['--input-type=module', '--eval', code], { cwd: folder })).stdout.trim();
  });
  const [main, node, manifest] = await Promise.all(loaded);
  expect(main).toBe(
    'GgufEditor GgufError defaultLimits i2sHistogram joinSources openGguf openUrl shardNames sourceFromBlob ' +
      'sourceFromBytes tensorStatistics writeGguf',
  );
  expect([node, manifest]).toEqual(['openFile', 'default']);
});
