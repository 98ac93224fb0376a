import { copyFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { TokenizedText } from '../src/tokenized-text.ts';
import type { TokenizerComparison } from '../src/tokenizer-comparison.ts';
import { bittern, editedModel, MODEL, removeTokenizer, temporaryFolder, TOKENIZER } from './support.ts';

/** Another vocabulary, of 512 tokens. */
const TINY = fileURLToPath(new URL('../../../tools/fixtures/tiny-random/tiny-random.i2_s.gguf', import.meta.url));
/** In whitespace the pre-tokenizers `default` and `llama-bpe` differ. */
const PARAGRAPHS = 'Once upon\n\na time';

async function tokenizeJson<Document = TokenizedText>(...argv: string[]): Promise<Document> {
  const { code, stdout } = await bittern(['tokenize', ...argv, '--json']);
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

describe('the text comes from', () => {
  const ids = [4093, 2833, 797, 258, 544, 198];

  test('a file or standard input, all of it, in any pieces', async () => {
    const path = join(await temporaryFolder(), 'story.txt');
    await writeFile(path, 'Once upon a time\n');
    expect((await tokenizeJson('-m', MODEL, '--file', path)).ids).toEqual(ids);
    const bytes = Buffer.from('Once upon a time 🙂');
    const stdin = Array.from(bytes, (byte) => Buffer.of(byte));
    const { stdout } = await bittern(['tokenize', '-m', MODEL, '-p', '-', '--json'], { stdin });
    expect(JSON.parse(stdout)).toEqual(await tokenizeJson('-m', MODEL, '-p', bytes.toString()));
  });

  test.each([
    ['a file', ['--file', MODEL], MODEL],
    ['standard input', ['-p', '-'], 'standard input'],
  ])('%s of bytes that are no UTF-8 ends with 1', async (_, argv, name) => {
    const outcome = await bittern(['tokenize', '-m', MODEL, ...argv], { stdin: [Buffer.of(0x61, 0xff)] });
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toContain(`${name}: it is not UTF-8 text`);
  });
});

describe('what is printed', () => {
  test('--json: ids, pieces, offsets in bytes, their number, and the tokenizer with its digest', async () => {
    const text = 'Où là\n';
    const document = await tokenizeJson('-m', MODEL, '-p', text);
    const { ids, pieces, offsets, count, tokenizer } = document;
    expect(Object.keys(document)).toEqual(['tokenizer', 'count', 'ids', 'pieces', 'offsets']);
    expect([ids.length, pieces.length, offsets.length]).toEqual([count, count, count]);
    expect([ids[0], offsets[0]]).toEqual([4093, [0, 0]]);
    expect(offsets.slice(1).flat().at(-1)).toBe(Buffer.byteLength(text));
    const bytes = Buffer.from(text);
    // A piece that is not whole characters is spelled in another way.
    const own = offsets.map((offset) => bytes.subarray(...offset!).toString());
    const whole = own.flatMap((part, index) => (part === '' || part.includes('\ufffd') ? [] : [index]));
    expect(whole.length).toBeGreaterThan(2);
    expect(whole.map((index) => own[index])).toEqual(whole.map((index) => pieces[index]));
    expect(tokenizer).toEqual({
      file: MODEL,
      source: 'gguf',
      reason: `the model file's own, before ${TOKENIZER}`,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      model: 'gpt2',
      pre: 'llama-bpe',
      vocabSize: 4096,
    });
  });

  test('the text form says the same', async () => {
    const { tokenizer } = await tokenizeJson('-m', MODEL, '-p', 'a b');
    const { stdout } = await bittern(['tokenize', '-m', MODEL, '-p', 'a b']);
    expect(stdout).toBe(
      `tokenizer  ${MODEL} (the model file's own, before ${TOKENIZER})
           model gpt2, pre-tokenizer llama-bpe, 4096 tokens
           digest ${tokenizer.digest}
count      3 tokens for 3 bytes

id    bytes  piece
4093  0..0   "<|begin_of_text|>"
64    0..1   "a"
268   1..3   " b"
`,
    );
  });

  test('--explain makes whitespace visible and tells what is special', async () => {
    const argv = ['-m', MODEL, '-p', 'a \n\té\u001b<|eot_id|>', '--special', '--explain'];
    const { stdout } = await bittern(['tokenize', ...argv]);
    const table = stdout.slice(stdout.indexOf('\nid ') + 1);
    expect(table).toMatch(/^4093 +0\.\.0 +<\|begin_of_text\|> +added$/m);
    expect(table).toMatch(/^220 +1\.\.2 +·$/m);
    expect(table).toContain('⏎');
    expect(table).toContain('⇥');
    expect(table).toMatch(/ part of a character: bytes c3$/m);
    expect(table).toMatch(/^4095 +\d+\.\.\d+ +<\|eot_id\|> +special token$/m);
    expect(table).not.toContain('\u001b');
    const { explained, count } = await tokenizeJson(...argv);
    expect(explained).toHaveLength(count);
    expect(explained![0]).toEqual({ piece: '<|begin_of_text|>', note: 'added' });
  });

  test('a doubled BOS is told of on stderr', async () => {
    const argv = ['tokenize', '-m', MODEL, '-p', '<|begin_of_text|>a', '--special'];
    expect((await bittern(argv)).stderr).toMatch(/^bittern: warning: BOS was added to a text .* --no-bos\.\n$/);
    expect((await bittern([...argv, '--no-bos'])).stderr).toBe('');
  });
});

describe('--decode', () => {
  test('prints the text of ids', async () => {
    const argv = ['tokenize', '-m', MODEL, '--decode', '4093, 2833 797,258,544'];
    expect((await bittern(argv)).stdout).toBe('<|begin_of_text|>Once upon a time\n');
    expect((await bittern([...argv, '--skip-special'])).stdout).toBe('Once upon a time\n');
    const document = JSON.parse((await bittern([...argv, '--json'])).stdout);
    expect(document).toMatchObject({ tokenizer: { file: MODEL }, ids: [4093, 2833, 797, 258, 544] });
    expect(document.text).toBe('<|begin_of_text|>Once upon a time');
  });

  test('undoes the ids of a text', async () => {
    const text = ' a  b\n\n\té🙂 <|eot_id|> ';
    const { ids } = await tokenizeJson('-m', MODEL, '-p', text, '--no-bos');
    const document = await tokenizeJson<{ text: string }>('-m', MODEL, '--decode', ids.join());
    expect(document.text).toBe(text);
  });
});

describe('--template', () => {
  const chat = ['-m', MODEL, '-p', 'Hi<|eot_id|>', '--system', 'Be brief.'];

  test('auto shows the template, its reason and the text; what the user wrote stays text', async () => {
    const { template, ids, offsets } = await tokenizeJson(...chat, '--template', 'auto');
    const text = 'System: Be brief.<|eot_id|>User: Hi<|eot_id|><|eot_id|>Assistant: ';
    expect(template).toEqual({
      id: 'bitnet',
      reason: 'no template in the file; architecture bitnet-b1.58 with <|eot_id|>',
      text,
      stopIds: expect.arrayContaining([4094, 4095]),
      stopStrings: [],
    });
    const ends = offsets.filter((_, index) => ids[index] === 4095);
    expect(ends).toEqual([
      [17, 27],
      [45, 55],
    ]);
    expect(ids[0]).toBe(4093);
    const { stdout } = await bittern(['tokenize', ...chat, '--template', 'auto']);
    expect(stdout).toContain('\ntemplate   bitnet (no template in the file; ');
    expect(stdout).toContain(`\ntext       ${JSON.stringify(text)}\n`);
  });

  test.each([
    ['raw', 'Be brief.\n\nHi<|eot_id|>', []],
    ['instruct', 'System: Be brief.\n\nQ: Hi<|eot_id|>\nA:', ['\n\nQ:', '\n\nHuman:']],
  ])('%s', async (name, text, stopStrings) => {
    const { template, ids } = await tokenizeJson(...chat, '--template', name);
    expect(template).toMatchObject({ id: name, reason: 'chosen by the user', text, stopStrings });
    expect(ids).not.toContain(4095);
  });

  test("model is the file's own, and auto knows the placeholder of official files", async () => {
    const own = await editedModel((editor) =>
      editor.set(
        'tokenizer.chat_template',
        'string',
        '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}',
      ),
    );
    for (const name of ['model', 'auto']) {
      const { template } = await tokenizeJson(...chat, '-m', own, '--template', name);
      expect(template).toMatchObject({ id: 'model', text: '[system]Be brief.[user]Hi<|eot_id|>' });
    }
    // The template of the model counts also where the tokenizer is another.
    const { template } = await tokenizeJson(...chat, '-m', own, '--tokenizer', TOKENIZER, '--template', 'auto');
    expect(template!.id).toBe('model');
    const placeholder = await editedModel((editor) =>
      editor.set('tokenizer.chat_template', 'string', 'Human: {{ messages[0].content }}\n\nBITNETAssistant: '),
    );
    const detected = await tokenizeJson(...chat, '-m', placeholder, '--template', 'auto');
    expect(detected.template).toMatchObject({ id: 'bitnet', reason: expect.stringContaining('placeholder') });
  });

  test.each([
    ['model, where there is none', 'model', /no template of its own\. Choose another one/],
    ['one whose tokens are missing', 'llama3-chat', /needs the control tokens .* Choose raw or instruct/],
  ])('%s ends with 1', async (_, name, message) => {
    const { code, stdout, stderr } = await bittern(['tokenize', ...chat, '--template', name]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toContain(MODEL);
  });
});

describe('which tokenizer', () => {
  test('--tokenizer before the model, a tokenizer.json or a GGUF file by whatever name', async () => {
    const text = ['-p', PARAGRAPHS];
    const { ids, tokenizer } = await tokenizeJson('-m', MODEL, ...text);
    const json = await tokenizeJson('--tokenizer', TOKENIZER, ...text);
    expect(json.ids).toEqual(ids);
    expect(json.tokenizer).toEqual({ ...tokenizer, file: TOKENIZER, source: 'explicit', reason: 'chosen by the user' });
    const blob = join(await temporaryFolder(), 'sha256-88e2');
    await copyFile(TINY, blob);
    const tiny = await tokenizeJson('--tokenizer', TINY, ...text);
    expect(tiny.tokenizer.vocabSize).toBe(512);
    const instead = await tokenizeJson('-m', MODEL, '--tokenizer', blob, ...text);
    expect(instead.ids).toEqual(tiny.ids);
    expect(instead.tokenizer).toEqual({ ...tiny.tokenizer, file: blob });
  });

  test('a model without one takes the tokenizer.json beside it', async () => {
    const model = await editedModel(removeTokenizer);
    const without = await bittern(['tokenize', '-m', model, '-p', 'x']);
    expect(without).toMatchObject({ code: 1, stdout: '' });
    expect(without.stderr).toContain(`No tokenizer: ${model} has none`);

    const beside = join(dirname(model), 'tokenizer.json');
    await copyFile(TOKENIZER, beside);
    await copyFile(join(dirname(TOKENIZER), 'tokenizer_config.json'), join(dirname(model), 'tokenizer_config.json'));
    const { ids, tokenizer } = await tokenizeJson('-m', model, '-p', PARAGRAPHS);
    expect(tokenizer).toMatchObject({
      file: beside,
      source: 'beside',
      reason: expect.stringContaining('has no tokeni'),
    });
    expect(ids).toEqual((await tokenizeJson('-m', MODEL, '-p', PARAGRAPHS)).ids);

    const pre = await bittern(['tokenize', '-m', model, '-p', 'x', '--pre', 'default']);
    expect(pre).toMatchObject({ code: 2, stdout: '' });
    expect(pre.stderr).toBe(
      `bittern: The option --pre is for GGUF files; ${beside} has its pre-tokenizer in itself.\n`,
    );
    await writeFile(beside, '{\u001b');
    const broken = await bittern(['tokenize', '-m', model, '-p', 'x']);
    expect(broken).toMatchObject({ code: 1, stdout: '' });
    expect(broken.stderr).toMatch(/tokenizer\.json is not JSON/);
    expect(broken.stderr).not.toContain('\u001b');
  });

  test('a file that names no pre-tokenizer is split with `default`, with a warning that tells of --pre', async () => {
    const model = await editedModel((editor) => editor.remove('tokenizer.ggml.pre'));
    const argv = ['tokenize', '-m', model, '-p', PARAGRAPHS, '--json'];
    const { stdout, stderr } = await bittern(argv);
    expect(stderr).toMatch(/^bittern: warning: .*model\.gguf: The file names no pre-tokenizer.* --pre llama-bpe\.\n$/);
    const chosen = await bittern([...argv, '--pre', 'llama-bpe']);
    expect(chosen.stderr).toBe('');
    const [byDefault, byChoice] = [JSON.parse(stdout), JSON.parse(chosen.stdout)] as TokenizedText[];
    expect([byDefault!.tokenizer.pre, byChoice!.tokenizer.pre]).toEqual(['default', 'llama-bpe']);
    expect(byDefault!.ids).not.toEqual(byChoice!.ids);
    expect(byDefault!.tokenizer.digest).not.toBe(byChoice!.tokenizer.digest);
  });

  test('a name in the file that is unknown is an error that lists the known ones, and --pre overrules it', async () => {
    const model = await editedModel((editor) => editor.set('tokenizer.ggml.pre', 'string', 'lama'));
    const { code, stderr } = await bittern(['tokenize', '-m', model, '-p', 'x']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/model\.gguf: Unknown pre-tokenizer "lama" .*Known: llama-bpe, .*default/);
    expect((await tokenizeJson('-m', model, '-p', 'x', '--pre', 'gpt-2')).tokenizer.pre).toBe('gpt-2');
  });
});

describe('--compare', () => {
  const compare = (...argv: string[]) => bittern(['tokenize', '-m', MODEL, ...argv]);

  test('equal tokenizers end with 0', async () => {
    const argv = ['--compare', TOKENIZER, '-p', PARAGRAPHS, '-p', 'x 12345', '--file', TOKENIZER];
    const { code, stdout } = await compare(...argv);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nEqual: the same ids on 3 texts, and, having one digest, on any other\n$/);
    const document: TokenizerComparison = JSON.parse((await compare(...argv, '--json')).stdout);
    expect(document).toMatchObject({ verdict: 'equal', texts: 3 });
    expect(document.second.digest).toBe(document.first.digest);
    expect(document).not.toHaveProperty('difference');
  });

  test('others that give the same ids on the text are equal there', async () => {
    const { code, stdout } = await compare('--pre', 'default', '--compare', MODEL, '-p', 'Once');
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nEqual: the same ids on 1 text, though their digests differ\n$/);
  });

  test('a difference ends with 1 and says where it is and why', async () => {
    const argv = ['--pre', 'default', '--compare', MODEL, '-p', 'Once', '-p', `Once\n${PARAGRAPHS}`];
    const { code, stdout } = await compare(...argv);
    expect(code).toBe(1);
    expect(stdout).toContain('\nDIFFERENT: text 2 of 2 texts, from token 5 on (line 2, byte 14)\n');
    expect(stdout).toMatch(/\n> 5 +198 +"\\n" +\d+ +"\\n\\n"\n/);
    expect(stdout).toMatch(/\nProbable cause: other pre-tokenizers: default and llama-bpe\n$/);
    const { code: jsonCode, stdout: json } = await compare(...argv, '--json');
    expect(jsonCode).toBe(1);
    const { verdict, difference } = JSON.parse(json) as TokenizerComparison;
    expect(verdict).toBe('different');
    expect(difference).toMatchObject({ text: 1, token: 5, byte: 14, line: 2, cause: expect.any(String) });
    expect(difference!.first.find(({ token }) => token === 5)).toEqual({ token: 5, id: 198, piece: '\n' });
  });

  test.each([
    ['the second tokenizer is not there', ['--compare', 'no.json', '-p', 'x'], /no\.json: no such file/],
    ['it is none', ['--compare', MODEL.replace(/[^/]*$/, 'PROVENANCE.md'), '-p', 'x'], /is not JSON/],
    ['the text is not there', ['--compare', MODEL, '--file', 'no.txt'], /no\.txt: no such file/],
    ['the text is empty', ['--compare', MODEL, '-p', ''], /there is no text/],
  ])('ends with 3 if %s', async (_, argv, message) => {
    const { code, stdout, stderr } = await compare(...argv, '--json');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/^bittern: nothing was compared: /);
    expect(stderr).toMatch(message);
  });
});

describe('other commands take the same options', () => {
  test('logits', async () => {
    const ids = async (...argv: string[]): Promise<number[]> => {
      const { stdout } = await bittern(['logits', '-m', MODEL, '-p', PARAGRAPHS, '--json', ...argv]);
      return JSON.parse(stdout).ids;
    };
    const own = await ids();
    expect(await ids('--tokenizer', TOKENIZER)).toEqual(own);
    expect(await ids('--pre', 'default')).not.toEqual(own);
    const foreign = await bittern(['logits', '-m', MODEL, '-p', 'x', '--tokenizer', TINY]);
    expect(foreign.stderr).toContain(`${TINY} has 512 tokens, the model has 4096: they may not belong together.`);
  });

  test('crossval', async () => {
    const argv = ['crossval', '--numerics', 'avx2', '--tokenizer'];
    expect((await bittern([...argv, TOKENIZER])).code).toBe(0);
    const { code, stdout } = await bittern([...argv, TINY]);
    expect(code).toBe(1);
    expect(stdout).toContain('tokens');
  });
});
