import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bench, temporaryFolder } from './support.ts';

const COMMANDS = ['kernels', 'decode', 'prefill', 'load', 'gguf', 'tokenizer', 'limits', 'compare', 'page'];

test.each(COMMANDS)('%s --help has examples and exit codes', async (command) => {
  const { code, stdout, stderr } = await bench([command, '--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(new RegExp(`Examples:\n(?:  bittern-bench .*\n)*  bittern-bench ${command}`));
  expect(stdout).toContain('130  interrupted');
});

test('--version', async () => {
  expect(await bench(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
});

describe('bad usage ends with 2, a message and nothing on stdout', () => {
  test.each([
    ['no command', [], 'Usage: bittern-bench'],
    ['an unknown command', ['decod'], '(Did you mean decode?)'],
    ['an unknown option', ['limits', '--repeat', '2'], '(Did you mean --repeats?)'],
    ['no repeats', ['limits', '--repeats', '0'], 'whole number from 1 up'],
    ['a warm-up that is none', ['limits', '--warmup', 'x'], 'whole number from 0 up'],
    ['more than WebAssembly holds', ['limits', '--buffer', '4096'], 'at most 4000'],
    ['no threads', ['limits', '--threads', '0'], 'whole number from 1 up'],
    ['the same threads twice', ['limits', '--threads', '2, 2'], 'names a number twice'],
    ['unknown kernels', ['kernels', '--kernels', 'avx2'], 'Allowed choices are auto, relaxed, simd128'],
    ['a file where only shapes fit', ['kernels', '--shape', 'x.gguf'], 'Allowed choices are 2b4t, tiny'],
    ['no kernel of that name', ['kernels', '--shape', 'tiny', '--buffer', '1', '--only', 'q4'], `contains "q4"`],
    ['unknown numerics', ['decode', '--numerics', 'neon'], 'Allowed choices are avx2, avx512'],
    ['a surplus argument', ['gguf', 'model.gguf'], 'too many arguments'],
    ['a file that is not there', ['load', '--shape', 'no.gguf'], 'no.gguf'],
  ])('%s', async (_, argv, message) => {
    const { code, stdout, stderr } = await bench(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
  });

  test.each(['decode', 'prefill'])('%s beyond the context', async (command) => {
    const option = command === 'decode' ? '--prompt' : '--tokens';
    const cacheDir = join(await temporaryFolder(), 'cache');
    const { code, stderr } = await bench([command, '--shape', 'tiny', '--cache-dir', cacheDir, option, '2000']);
    expect(code).toBe(2);
    expect(stderr).toContain('context holds 1024');
  });
});

test('Ctrl-C ends with 130 and no result', async () => {
  const { code, stdout, stderr } = await bench(['limits', '--buffer', '1'], AbortSignal.abort());
  expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
  expect(stderr).toContain('interrupted');
});
