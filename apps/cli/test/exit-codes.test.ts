import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { NotComparedError, UnusableFileError, UsageError } from '../src/errors.ts';
import { EXIT_CODES, EXIT_CODES_HELP, exitCodeOf } from '../src/exit-codes.ts';
import { bittern, MODEL, RECORDING, temporaryFolder, TOKENIZER } from './support.ts';

const quiet = new AbortController().signal;

function errorWith(properties: object): Error {
  return Object.assign(new Error('a message'), properties);
}

test('the table', () => {
  expect(EXIT_CODES).toEqual({ success: 0, failed: 1, usage: 2, notCompared: 3, interrupted: 130 });
  for (const code of Object.values(EXIT_CODES)) expect(EXIT_CODES_HELP).toMatch(new RegExp(`^ +${code} `, 'm'));
});

test.each([
  ['an error of a package', 1, errorWith({ code: 'GGUF_TRUNCATED' })],
  ['an unusable file', 1, new UnusableFileError('model.gguf', new Error('bad'))],
  ['a system error that is not about a path', 1, errorWith({ code: 'ENOSPC', syscall: 'write' })],
  ['a mistake of ours', 1, new TypeError('undefined is not a function')],
  ['no error at all', 1, 'text'],
  ['bad usage', 2, new UsageError('--ids and -p')],
  ['a value that a package refuses', 2, new RangeError('id 9999')],
  ['a path that leads nowhere', 2, errorWith({ code: 'ENOENT', syscall: 'open', path: 'x' })],
  ['a path that leads to no file', 2, errorWith({ code: 'GGUF_NOT_A_FILE' })],
  ['a comparison that did not take place', 3, new NotComparedError('missing')],
])('%s ends with %i', (_, code, error) => {
  expect(exitCodeOf(error, quiet)).toBe(code);
});

test('after Ctrl-C whatever happens is an interruption', () => {
  expect(exitCodeOf(new NotComparedError('missing'), AbortSignal.abort())).toBe(130);
});

describe('bad usage ends with 2, a message and nothing on stdout', () => {
  test.each([
    ['no command', [], 'Usage: bittern'],
    ['an unknown command, with the nearest', ['inspekt', MODEL], '(Did you mean inspect?)'],
    ['an unknown option, with the nearest', ['run', '--gredy', '-p', 'x'], '(Did you mean --greedy?)'],
    ['a missing option', ['run'], "required option '-p, --prompt <text>'"],
    ['a missing argument', ['inspect'], "missing required argument 'file'"],
    ['a surplus argument', ['inspect', MODEL, MODEL], 'too many arguments'],
    ['no file to check', ['compat-check'], "missing required argument 'file'"],
    ['a file to check that is not there', ['compat-check', 'no.gguf'], 'no.gguf: no such file'],
    ['a folder to check', ['compat-check', RECORDING, '--json'], 'is not a regular file'],
    ['an unknown dialect', ['inspect', MODEL, '--dialect', 'x'], 'Allowed choices are ggml, bitnet.cpp'],
    ['a gate without what it judges', ['inspect', MODEL, '--gate', 'auto'], '--gate needs --ln-stats'],
    ['two things to inspect', ['inspect', MODEL, '--ln-stats', '--kv'], "'--ln-stats' cannot be used with"],
    ['a gate that is no file', ['inspect', MODEL, '--ln-stats', '--gate', 'atuo'], 'atuo: no such file'],
    ['a count that is none', ['run', '-p', 'x', '-n', '1e3'], 'whole number'],
    ['a count below 0', ['run', '-p', 'x', '-n', '-1'], 'whole number'],
    ['a seed that is too large', ['run', '-p', 'x', '--seed', '4294967296'], 'at most 4294967295'],
    ['a temperature below 0', ['run', '-p', 'x', '--temperature', '-1'], 'from 0 up'],
    ['a temperature that is none', ['run', '-p', 'x', '--temperature', ''], 'from 0 up'],
    ['sampling options for greedy', ['run', '-p', 'x', '--greedy', '--seed', '1'], "'--greedy' cannot be used with"],
    ['a top-p above 1', ['run', '-p', 'x', '--top-p', '1.5'], 'from 0 to 1'],
    ['a top-p of 0', ['run', '-p', 'x', '--top-p', '0'], 'more than 0'],
    ['a min-p below 0', ['run', '-p', 'x', '--min-p', '-1'], 'from 0 up'],
    ['a penalty of 0', ['run', '-p', 'x', '--repeat-penalty', '0'], 'more than 0'],
    ['an empty stop string', ['run', '-p', 'x', '--stop', ''], 'must not be empty'],
    ['a stop id that is none', ['run', '-p', 'x', '--stop-id', 'x'], 'whole number'],
    ['log-probabilities of text', ['run', '-p', 'x', '--logprobs', '3'], '--logprobs is for --json'],
    ['nothing to score', ['score', '-m', MODEL], "missing required argument 'file'"],
    ['a text to score that is not there', ['score', '-m', MODEL, 'no.txt'], 'no.txt: no such file'],
    ['unknown numerics', ['run', '-p', 'x', '--numerics', 'neon'], 'Allowed choices are avx2, avx512'],
    ['an unknown layout', ['run', '-p', 'x', '--layout', '1x1'], 'Allowed choices are 128x32, 64x16'],
    ['an unknown mode', ['logits', '-m', MODEL, '--ids', '1', '--mode', 'x'], 'Allowed choices are batch-all'],
    ['nothing to evaluate', ['logits', '-m', MODEL], 'give --ids, --ids-file or -p'],
    ['two things to evaluate', ['logits', '-m', MODEL, '--ids', '1', '-p', 'x'], "'--ids <list>' cannot be used with"],
    ['ids that are none', ['logits', '-m', MODEL, '--ids', '1,x'], 'must be token ids'],
    ['no ids', ['logits', '-m', MODEL, '--ids', ''], 'must be token ids'],
    ['an id outside the vocabulary', ['logits', '-m', MODEL, '--ids', '4096'], 'ids go from 0 to 4095'],
    ['a file of ids that is none', ['logits', '-m', MODEL, '--ids-file', MODEL], 'must be token ids'],
    ['more greedy ids than fit', ['logits', '-m', MODEL, '--ids', '1', '--greedy', '513'], 'has room for 512'],
    ['no tokenizer', ['tokenize', '-p', 'x'], 'give -m with a GGUF file, or --tokenizer'],
    ['nothing to tokenize', ['tokenize', '-m', MODEL], 'give -p, --file or --decode'],
    ['two texts to tokenize', ['tokenize', '-m', MODEL, '-p', 'x', '-p', 'y'], 'Give one text'],
    ['standard input twice', ['tokenize', '-m', MODEL, '-p', '-', '-p', '-', '--compare', MODEL], 'can be given once'],
    ['ids and a text', ['tokenize', '-m', MODEL, '-p', 'x', '--decode', '1'], "'--decode <list>' cannot be used with"],
    ['an id outside the vocabulary', ['tokenize', '-m', MODEL, '--decode', '4096'], '4096 is outside the vocabulary'],
    ['--skip-special for a text', ['tokenize', '-m', MODEL, '-p', 'x', '--skip-special'], 'is for --decode'],
    ['--special in a chat', ['tokenize', '-m', MODEL, '-p', 'x', '--template', 'raw', '--special'], 'cannot be used'],
    ['--no-bos in a chat', ['tokenize', '-m', MODEL, '-p', 'x', '--template', 'raw', '--no-bos'], 'cannot be used'],
    ['an unknown template', ['run', '-p', 'x', '--template', 'chatml'], 'Allowed choices are auto, raw, instruct'],
    ['a system message without template', ['run', '-p', 'x', '--system', 'y'], 'give --template too'],
    ['an unknown pre-tokenizer', ['run', '-p', 'x', '--pre', 'lama'], 'Known: llama-bpe, '],
    [
      '--pre for a tokenizer.json',
      ['run', '-p', 'x', '--tokenizer', TOKENIZER, '--pre', 'default'],
      '--pre is for GGUF',
    ],
    ['a folder as a tokenizer', ['run', '-p', 'x', '--tokenizer', RECORDING], 'is not a regular file'],
    ['a tokenizer that is not there', ['run', '-p', 'x', '--tokenizer', 'no.json'], 'no.json: no such file'],
    ['a tokenizer for ids', ['logits', '-m', MODEL, '--ids', '1', '--pre', 'default'], 'cannot be used with'],
    ['a model that is not there', ['run', '-m', 'no.gguf', '-p', 'x'], 'no.gguf: no such file'],
    ['a folder as a model', ['run', '-m', RECORDING, '-p', 'x'], 'is not a regular file'],
    ['a recording without its model', ['crossval', '--reference', RECORDING], '--reference needs -m'],
  ])('%s', async (_, argv, message) => {
    const { code, stdout, stderr } = await bittern(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
  });
});

test('the version is a result', async () => {
  expect(await bittern(['--version'])).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    stderr: '',
  });
});

describe('interruption', () => {
  test.each([
    ['run', ['run', '-p', 'x']],
    ['logits', ['logits', '-m', MODEL, '-p', 'x']],
    ['chat', ['chat']],
    ['crossval', ['crossval', '--json']],
    ['inspect --ln-stats', ['inspect', MODEL, '--ln-stats']],
    ['compat-check', ['compat-check', MODEL, '--json']],
  ])('%s, while it reads, ends with 130 and without a result', async (_, argv) => {
    const controller = new AbortController();
    const { signal } = controller;
    const { code, stdout, stderr } = await bittern(argv, { signal, isTTY: true, onProgress: () => controller.abort() });
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(stderr).toMatch(/\nbittern: interrupted\n$/);
  });

  test('run, while it generates, ends with 130 after the text so far', async () => {
    const controller = new AbortController();
    let writes = 0;
    const { code, stdout } = await bittern(['run', '-p', 'Once', '-n', '100', '--seed', '1'], {
      signal: controller.signal,
      onWrite() {
        writes += 1;
        if (writes === 3) controller.abort();
      },
    });
    expect({ code, writes }).toEqual({ code: 130, writes: 3 });
    expect(stdout).toMatch(/^Once/);
  });

  test('logits, while it evaluates, leaves no part of an --npy file', async () => {
    const folder = await temporaryFolder();
    const controller = new AbortController();
    const ids = Array.from({ length: 400 }, (_, index) => index).join();
    const argv = ['logits', '-m', MODEL, '--ids', ids, '--mode', 'sequential', '--npy', join(folder, 'logits.npy')];
    const running = bittern(argv, { signal: controller.signal });
    await vi.waitUntil(async () => (await readdir(folder)).length > 0, { interval: 1, timeout: 10_000 });
    controller.abort();
    expect(await running).toMatchObject({ code: 130, stdout: '' });
    expect(await readdir(folder)).toEqual([]);
  });
});

test('a reader that goes away ends a run early and quietly', async () => {
  let writes = 0;
  const { code, stderr } = await bittern(['run', '-p', 'x', '-n', '100', '--seed', '1'], {
    onWrite() {
      writes += 1;
      if (writes > 2) throw errorWith({ code: 'EPIPE', syscall: 'write' });
    },
  });
  expect({ code, stderr, writes }).toEqual({ code: 1, stderr: 'seed 1\n', writes: 3 });
});

test('progress is shown to a person only', async () => {
  expect((await bittern(['run', '-p', 'x', '-n', '1'])).stderr).not.toContain('\r');
  const { stdout, stderr } = await bittern(['run', '-p', 'x', '-n', '1'], { isTTY: true });
  expect(stderr).toContain('\r\u001b[KLoading: 100 %');
  expect(stdout).not.toContain('\r');
});
