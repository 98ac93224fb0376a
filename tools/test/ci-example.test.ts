import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MODELS = { one: 'tiny-random', two: 'tiny-random-bitnet' };

interface Workflow {
  readonly jobs: Readonly<
    Record<
      string,
      { readonly strategy: { readonly matrix: Record<string, number[]> }; readonly steps: { run?: string }[] }
    >
  >;
}

let folder: string;
afterEach(() => rm(folder, { recursive: true }));

/** A user's repository as docs/ci says, with two models of this one and their recordings. */
async function makeRepository(): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 'bittern-ci-'));
  for (const name of ['ci', 'models', 'recordings', 'node_modules/.bin'])
    await mkdir(join(folder, name), { recursive: true });
  await cp(join(ROOT, 'docs/ci/crossval.sh'), join(folder, 'ci/crossval.sh'));
  await cp(join(ROOT, 'docs/ci/crossval.yaml'), join(folder, 'crossval.yaml'));
  await writeFile(join(folder, 'package.json'), '{ "private": true }');
  await symlink(join(ROOT, 'apps/cli/dist/bin.js'), join(folder, 'node_modules/.bin/bittern'));
  for (const [name, fixture] of Object.entries(MODELS)) {
    const from = join(ROOT, 'tools/fixtures', fixture);
    await cp(join(from, `${fixture}.i2_s.gguf`), join(folder, `models/${name}.gguf`));
    await cp(join(from, 'recording'), join(folder, 'recordings', name), { recursive: true });
  }
}

async function sh(command: string): Promise<{ code: number; output: string }> {
  const summary = join(folder, 'summary.md');
  const env = { ...process.env, GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary };
  try {
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', command], { cwd: folder, env });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}

/** What a job runs for one version of Node, in each of its shards. */
function commandsOf({ jobs }: Workflow, job: string): string[] {
  const { strategy, steps } = jobs[job]!;
  return (strategy.matrix['shard'] ?? [0]).flatMap((shard) =>
    steps
      .map(({ run }) => run?.replaceAll('${{ matrix.shard }}', String(shard)))
      .filter((run) => run !== undefined)
      .filter((run) => run !== 'npm ci'),
  );
}

test('the commands of the workflow, job by job', async () => {
  await makeRepository();
  const workflow = parse(await readFile(join(ROOT, 'docs/ci/github-actions.yml'), 'utf8')) as Workflow;
  const commands = [...commandsOf(workflow, 'shard'), ...commandsOf(workflow, 'report')];
  expect(commands).toEqual([
    ...[1, 2].map((shard) => `bash ci/crossval.sh shard ${shard} 2`),
    'bash ci/crossval.sh merge',
    'bash ci/crossval.sh receipt',
  ]);
  for (const command of commands) expect(await sh(command)).toMatchObject({ code: 0 });
  const out = join(folder, 'crossval-out');
  const sweep = JSON.parse(await readFile(join(out, 'sweep.json'), 'utf8'));
  expect(sweep).toMatchObject({ status: 'ok', total: 2, shard: { index: 1, count: 1 } });
  expect(await readFile(join(out, 'report.html'), 'utf8')).toMatch(/^<!doctype html>/i);
  expect((await readFile(join(out, 'report.xml'), 'utf8')).match(/<testsuite /g)?.length).toBeGreaterThanOrEqual(2);
  for (const name of Object.keys(MODELS)) {
    const receipt = `crossval-out/${name}.receipt.json`;
    const verify = `npx --no-install bittern verify-receipt ${receipt} -m models/${name}.gguf`;
    expect(await sh(verify)).toMatchObject({ code: 0, output: expect.stringMatching(/^parity +pass /m) });
    const text = await readFile(join(folder, receipt), 'utf8');
    await writeFile(join(folder, receipt), text.replace('avx2', 'avx512'));
    expect(await sh(verify)).toMatchObject({ code: 1 });
  }
  expect(await readFile(join(folder, 'summary.md'), 'utf8')).not.toBe('');
});

test('all of it on one machine, with a model that differs; a part that is missing; bad usage', async () => {
  await makeRepository();
  const bytes = await readFile(join(folder, 'models/one.gguf'));
  bytes[bytes.length - 100]! ^= 0x01;
  await writeFile(join(folder, 'models/two.gguf'), bytes);
  const sweep = `version: 1
exact: true
models: [{ name: one, file: models/one.gguf }, { name: two, file: models/two.gguf }]
prompts: [{ name: a, text: Once upon a time, maxTokens: 1 }]
references: [{ name: one, model: models/one.gguf }]
`;
  await writeFile(join(folder, 'crossval.yaml'), sweep);
  const all = await sh('bash ci/crossval.sh all 2');
  expect(all).toMatchObject({ code: 1, output: expect.stringMatching(/^FAILED: 1 ok, 1 diverged/m) });
  const parts = join(folder, 'crossval-out');
  expect((await readdir(parts)).toSorted()).toEqual([
    'report.html',
    'report.xml',
    'shard-1.json',
    'shard-2.json',
    'sweep.json',
  ]);
  await rm(join(parts, 'shard-2.json'));
  expect(await sh('bash ci/crossval.sh merge')).toMatchObject({ code: 3, output: expect.stringContaining('missing') });
  expect(await sh('bash ci/crossval.sh')).toMatchObject({ code: 2, output: expect.stringContaining('shard I N') });
});
