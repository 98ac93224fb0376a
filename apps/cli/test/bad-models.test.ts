import { describe, expect, test } from 'vitest';
import { bittern, changedModel, flipWeight, MODEL, replaceText, setU32 } from './support.ts';

/** Commands that need a whole model. */
const commands = (path: string): string[][] => [
  ['run', '-m', path, '-p', 'Once'],
  ['run', '-m', path, '-p', 'Once', '--json'],
  ['logits', '-m', path, '--ids', '1,2', '--json'],
];

describe('a model that cannot be used ends with 1, a message and nothing on stdout', () => {
  test.each([
    [
      'cut within its weights',
      (bytes: Buffer) => bytes.subarray(0, bytes.length - 40_000),
      /cut short|beyond|past the end/,
    ],
    ['cut within its header', (bytes: Buffer) => bytes.subarray(0, 1000), /cut short/],
    ['empty', () => Buffer.alloc(0), /cut short/],
    ['no GGUF', () => Buffer.from('#!/bin/sh\necho hello\n'), /Not a GGUF file/],
    [
      'of an unknown architecture',
      (bytes: Buffer) => replaceText(bytes, 'bitnet-b1.58', 'unheard-of-1'),
      /"unheard-of-1".*Supported: bitnet/,
    ],
    [
      'without a tensor',
      (bytes: Buffer) => replaceText(bytes, 'blk.3.attn_q.weight', 'blk.9.attn_q.weight'),
      /"blk\.3\.attn_q\.weight" is missing/,
    ],
    ['with a tensor too many', (bytes: Buffer) => setU32(bytes, '.block_count', 7), /does not use: "blk\.7\./],
    [
      'with a weight that is no code',
      async (bytes: Buffer) => {
        await flipWeight(bytes, 'blk.0.attn_q.weight', 3);
      },
      /"blk\.0\.attn_q\.weight" holds the code 3/,
    ],
    ['with an unknown tokenizer', (bytes: Buffer) => replaceText(bytes, 'llama-bpe', 'lama-bpe2'), /lama-bpe2/],
  ])('%s', async (_, change, message) => {
    const path = await changedModel(change);
    for (const argv of commands(path)) {
      if (argv[0] === 'logits' && message.source === 'lama-bpe2') continue; // ids need no tokenizer
      const { code, stdout, stderr } = await bittern(argv);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(message);
      expect(stderr).toContain(path);
      expect(stderr.trimEnd()).toMatch(/^(seed \d+\n)?bittern: .*$/);
    }
  });
});

test('a prompt longer than the context ends with 1 and says how long both are', async () => {
  for (const argv of [
    ['run', '-p', 'word '.repeat(600)],
    ['run', '-p', 'word '.repeat(600), '--json'],
    ['logits', '-m', MODEL, '--ids', '1,'.repeat(512) + '1', '--mode', 'sequential'],
  ]) {
    const { code, stdout, stderr } = await bittern(argv);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/tokens do not fit: the context holds 512/);
  }
});
