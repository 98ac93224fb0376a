import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { bench, type Outcome, temporaryFolder } from './support.ts';

const MACHINE = { cpu: 'a processor', cores: 4, platform: 'linux-x64' };
const RECEIPT = fileURLToPath(new URL('../../../packages/receipts/test/fixtures/exact.receipt', import.meta.url));

/** Milliseconds around one, none twice. */
function around(ms: number, count = 21): number[] {
  return Array.from({ length: count }, (_, index) => ms * (1 + (index - (count - 1) / 2) / 1000));
}

interface Row {
  readonly name?: string;
  readonly detail?: string;
  readonly threads?: number;
  readonly samples: readonly unknown[];
}

function result(rows: readonly Row[], environment: object = MACHINE, settings: object = {}): unknown {
  return {
    command: 'decode',
    environment,
    settings: { file: '/somewhere/model.gguf', model: '0123456789ab', prompt: 128, repeats: 3, ...settings },
    limits: [],
    results: rows.map(({ name = 'decode', detail = 'after 128 tokens', threads = 1, samples }) => ({
      name,
      detail,
      threads,
      durationMs: { samples },
    })),
  };
}

async function compareFiles(base: unknown, current: unknown, ...argv: string[]): Promise<Outcome> {
  const folder = await temporaryFolder();
  const paths = [join(folder, 'base.json'), join(folder, 'current.json')] as const;
  for (const [index, value] of [base, current].entries()) {
    await writeFile(paths[index]!, typeof value === 'string' ? value : JSON.stringify(value));
  }
  return bench(['compare', ...paths, ...argv]);
}

const BASE = result([{ samples: around(10) }]);

test.each([
  [10, 'no difference', 0],
  [10.02, 'no difference', 0],
  [10.4, 'slower', 0],
  [11, 'slower', 1],
  [8, 'faster', 0],
])('10 ms and %d ms: %s', async (ms, status, code) => {
  const current = result([{ samples: around(ms) }], MACHINE, { file: '/elsewhere/model.gguf' });
  const outcome = await compareFiles(BASE, current, '--format', 'json', '--fail-on-regression', '5');
  const { verdict, cases } = JSON.parse(outcome.stdout);
  expect(cases).toMatchObject([{ status, failed: code === 1, ratio: expect.closeTo(ms / 10, 9) }]);
  expect(cases[0].low < ms / 10 && cases[0].high > ms / 10).toBe(true);
  expect([outcome.code, verdict]).toEqual([code, code === 0 ? 'pass' : 'fail']);
});

test('a difference within the noise of the samples is none, however large that of the medians', async () => {
  const noisy = Array.from({ length: 21 }, (_, index) => 10 + index);
  const current = result([{ samples: noisy.map((ms) => 1.1 * ms) }]);
  const { code, stdout } = await compareFiles(result([{ samples: noisy }]), current, '--fail-on-regression', '0');
  expect(code).toBe(0);
  expect(stdout).toContain('no difference');
});

test('without --fail-on-regression, slower is no failure', async () => {
  const { code, stdout } = await compareFiles(BASE, result([{ samples: around(20) }]));
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /decode: decode, after 128 tokens, 1 thread\(s\), file model\.gguf, model 0123456789ab, prompt 128 +10\.00 +20\.00 +2\.000 .* slower\n/,
  );
  expect(stdout).toContain('Passed: 1 of 1 cases compared.');
});

describe('nothing comparable is a failure', () => {
  test.each<[string, unknown, RegExp]>([
    ['another machine', result([{ samples: around(10) }], { ...MACHINE, cores: 8 }), /different machines/],
    ['another case', result([{ detail: 'after 5 tokens', samples: around(10) }]), /no case is in both/],
    ['another number of threads', result([{ threads: 2, samples: around(10) }]), /no case is in both/],
    ['another model', result([{ samples: around(10) }], MACHINE, { file: 'other.gguf' }), /no case is in both/],
    [
      'another model of that name',
      result([{ samples: around(10) }], MACHINE, { model: 'ba9876543210' }),
      /no case is in both/,
    ],
    ['other work', result([{ samples: around(10) }], MACHINE, { prompt: 5 }), /no case is in both/],
    ['no cases', result([]), /no case is in both/],
    ['too few samples', result([{ samples: around(10, 6) }]), /no case is in both, with enough samples/],
    ['no samples', result([{ samples: [] }]), /no case is in both/],
  ])('%s', async (_, current, message) => {
    const { code, stdout } = await compareFiles(BASE, current);
    expect(code).toBe(1);
    expect(stdout).toMatch(message);
    expect(stdout).toContain('FAILED');
  });
});

test('a case that is missing, or has too few samples, is a failure; a new one is not', async () => {
  const both = result([{ samples: around(10) }, { threads: 2, samples: around(6) }]);
  const missing = await compareFiles(both, BASE, '--format', 'json');
  expect(missing.code).toBe(1);
  expect(JSON.parse(missing.stdout).cases).toMatchObject([
    { status: 'no difference' },
    { status: 'missing', failed: true },
  ]);
  const added = await compareFiles(BASE, both, '--format', 'json');
  expect(added.code).toBe(0);
  expect(JSON.parse(added.stdout).cases).toMatchObject([{ status: 'no difference' }, { status: 'new', failed: false }]);
  const few = result([{ samples: around(10) }, { threads: 2, samples: around(6, 3) }]);
  expect(await compareFiles(both, few)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('too few samples, FAILED'),
  });
});

describe('what is no result is refused', () => {
  test.each<[string, unknown]>([
    ['no JSON', '{'],
    ['something else', {}],
    ['null', null],
    ['a sample that is no number', result([{ samples: [...around(10), null] }])],
    ['a negative sample', result([{ samples: [...around(10), -1] }])],
    ['a case twice', result([{ samples: around(10) }, { samples: around(10) }])],
    ['a file without its model', result([{ samples: around(10) }], MACHINE, { model: undefined })],
    ['no machine', result([{ samples: around(10) }], {})],
  ])('%s', async (_, current) => {
    const { code, stdout, stderr } = await compareFiles(BASE, current);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('current.json');
    expect(stderr).not.toContain('    at ');
  });
});

describe('receipts', () => {
  test('are compared by what they measured; with too few runs only decoding can be', async () => {
    const { code, stdout } = await bench(['compare', RECEIPT, RECEIPT, '--format', 'json']);
    expect(code).toBe(1);
    const { cases } = JSON.parse(stdout);
    expect(cases.map(({ name, status }: Record<string, string>) => `${name!.split(',')[0]!} ${status}`)).toEqual([
      'benchmark: prefill too few samples',
      'benchmark: first token too few samples',
      'benchmark: decode step no difference',
    ]);
  });

  test('one that does not pass is refused, with its gate', async () => {
    const path = join(await temporaryFolder(), 'receipt');
    await writeFile(path, (await readFile(RECEIPT, 'utf8')).replace('"warmup":1', '"warmup":2'));
    const { code, stderr } = await bench(['compare', path, RECEIPT]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/nor a receipt that passes: digest: it was changed/);
  });
});

test('JUnit: a test for each case, with what failed', async () => {
  const base = result([{ samples: around(10) }, { detail: '<a> & "b"', samples: around(10) }]);
  const current = result([{ samples: around(20) }, { detail: '<a> & "b"', samples: around(10) }]);
  const { code, stdout } = await compareFiles(base, current, '--format', 'junit', '--fail-on-regression', '5');
  expect(code).toBe(1);
  expect(stdout).toMatch(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites tests="2" failures="1">/);
  expect(stdout).toMatch(/<failure message="slower: 2\.000 times as long \(95 %: [\d.]+ to [\d.]+\)"\/>/);
  expect(stdout).toContain('decode, &lt;a&gt; &amp; &quot;b&quot;, 1 thread(s)');
  const nothing = await compareFiles(base, result([]), '--format', 'junit');
  expect(nothing.stdout).toContain('<testsuites tests="3" failures="3">');
});

test('Markdown is a table', async () => {
  const { stdout } = await compareFiles(BASE, BASE, '--format', 'markdown');
  expect(stdout).toMatch(/\n\n\| case \| base ms \| current ms \| ratio \| 95 % between \|  \|\n\| --- \|/);
});

test('what a file says cannot steer a terminal, nor end a cell of a table', async () => {
  const hostile = { ...MACHINE, cpu: 'a\u001b[2Jb\n| c |' };
  const file = result([{ detail: 'x\u001b[31m | <b> [y](z) \u202e', samples: around(10) }], hostile);
  for (const format of ['text', 'markdown', 'junit']) {
    const { code, stdout } = await compareFiles(file, file, '--format', format);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/[^\P{C}\n]/u);
    expect(stdout).toContain('u{1b}');
  }
  const { stdout } = await compareFiles(file, file, '--format', 'markdown');
  expect(stdout).toContain(String.raw`x\\u{1b}\[31m \| \<b> \[y](z) \\u{202e}, 1 thread(s)`);
  expect(stdout).toContain(String.raw`a\\u{1b}\[2Jb\\u{a}\| c \|, 4 cores`);
});

test.each([
  ['no current', ['base.json']],
  ['a file that is not there', ['no.json', 'no.json']],
  ['a per cent that is none', ['a', 'b', '--fail-on-regression', '-1']],
  ['an unknown format', ['a', 'b', '--format', 'html']],
])('%s is bad usage', async (_, argv) => {
  expect(await bench(['compare', ...argv])).toMatchObject({ code: 2, stdout: '' });
});

describe('page', () => {
  test('results of a quiet machine become a page; the commands stand in it', async () => {
    const path = join(await temporaryFolder(), 'limits.json');
    const argv = ['limits', '--threads', '1', '--buffer', '1', '--repeats', '3', '--warmup', '0'];
    const markdown = await bench([...argv, '--markdown']);
    expect(markdown.stdout).toMatch(
      /^## limits\n\n\d{4}-\d\d-\d\d, .*\n\nthreads 1, .*\n\n\| limit of the machine \| threads \|/,
    );
    const document = JSON.parse((await bench([...argv, '--json'])).stdout);
    for (const { readMs, readPagesMs, int8Ms } of document.limits) {
      for (const summary of [readMs, readPagesMs, int8Ms])
        Object.assign(summary, { p10: summary.median, p90: summary.median });
    }
    await writeFile(path, JSON.stringify(document));
    const { code, stdout } = await bench(['page', path]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      'pnpm -s bench limits --threads 1 --buffer 1 --repeats 3 --warmup 0 --json > limits.json\npnpm -s bench page limits.json > docs/benchmarks.md\n',
    );
    expect(stdout).toContain('| memory read | 1 |');

    const decode = { ...document, command: 'decode' };
    const other = join(await temporaryFolder(), 'other.json');
    const settings = {
      ...document.settings,
      shape: "it's.gguf",
      file: '/x',
      ternary: ['a'],
      head: ['exact', 'screened'],
    };
    await writeFile(path, JSON.stringify(decode));
    await writeFile(other, JSON.stringify({ ...decode, settings }));
    const both = await bench(['page', path, other]);
    expect(both.stdout).toContain(
      [
        'pnpm -s bench decode --threads 1 --buffer 1 --repeats 3 --warmup 0 --json > decode-1.json',
        String.raw`pnpm -s bench decode --shape 'it'\''s.gguf' --threads 1 --buffer 1 --head exact,screened --repeats 3 --warmup 0 --json > decode-2.json`,
        'pnpm -s bench page decode-1.json decode-2.json > docs/benchmarks.md',
      ].join('\n'),
    );
    for (const limits of [[], [{ ...document.limits[0], threads: 2 }]]) {
      await writeFile(path, JSON.stringify({ ...decode, limits }));
      expect(await bench(['page', path])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('limits are missing'),
      });
    }
    await writeFile(path, JSON.stringify({ ...document, command: 'rm' }));
    expect(await bench(['page', path])).toMatchObject({ code: 1, stderr: expect.stringContaining('no result') });
  });

  test('results of a noisy one, and what is no result, are refused', async () => {
    const folder = await temporaryFolder();
    const [noisy, other] = [join(folder, 'noisy.json'), join(folder, 'other.json')];
    const argv = ['limits', '--threads', '1', '--buffer', '1', '--repeats', '1', '--warmup', '0', '--json'];
    const document = JSON.parse((await bench(argv)).stdout);
    document.limits[0].readMs.p90 = 2 * document.limits[0].readMs.median;
    await writeFile(noisy, JSON.stringify(document));
    await writeFile(other, '{}');
    expect(await bench(['page', noisy])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('quieter machine'),
    });
    expect(await bench(['page', other])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('no result'),
    });
    expect(await bench(['page', join(folder, 'none.json')])).toMatchObject({ code: 2, stdout: '' });
  });
});
