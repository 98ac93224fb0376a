import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { bittern, fileOf, temporaryFolder } from './support.ts';

const OPTIONS = ['chat', '--greedy', '-n', '12'];

function typed(...lines: string[]): Uint8Array[] {
  return lines.map((line) => Buffer.from(`${line}\n`));
}

/** The answer to the last of the messages, by `run`-independent means: a conversation of its own. */
async function answers(...lines: string[]): Promise<string[]> {
  const { code, stdout } = await bittern(OPTIONS, { stdin: typed(...lines) });
  expect(code).toBe(0);
  return stdout.split('\n').slice(0, -1);
}

describe('a conversation', () => {
  test('answers each line on stdout, and tells the rest on stderr', async () => {
    const { code, stdout, stderr } = await bittern(OPTIONS, { stdin: typed('Hi', '', 'Why?') });
    expect(code).toBe(0);
    const run = await bittern(['run', '--greedy', '-n', '12', '--template', 'auto', '-p', 'Hi']);
    expect(stdout.startsWith(run.stdout)).toBe(true);
    expect(stdout.length).toBeGreaterThan(run.stdout.length);
    expect(stderr).toMatch(/^template bitnet: .*\n$/);
  });

  test('the second answer has the bits of a prompt with all messages', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'chat.json');
    const { stdout } = await bittern(OPTIONS, { stdin: typed('Hi', 'Why?', `/save ${path}`) });
    const { messages } = JSON.parse(await readFile(path, 'utf8'));
    expect(messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
    expect(stdout).toBe(`${messages[1].content}\n${messages[3].content}\n`);
    // Nothing in the cache: the same answer.
    const loaded = await fileOf(JSON.stringify({ version: 1, messages: messages.slice(0, 2) }), 'part.json');
    const again = await bittern(OPTIONS, { stdin: typed(`/load ${loaded}`, 'Why?') });
    expect(again.stdout).toBe(`${messages[3].content}\n`);
    expect(again.stderr).toContain('2 messages read');
  });

  test('--head screened gives the same answers, and refuses what needs all logits', async () => {
    for (const sampling of [['--greedy'], ['--seed', '7', '--top-p', '0.9']]) {
      const argv = ['chat', '-n', '12', ...sampling];
      const exact = await bittern(argv, { stdin: typed('Hi', 'Why?') });
      expect(await bittern([...argv, '--head', 'screened'], { stdin: typed('Hi', 'Why?') })).toEqual(exact);
    }
    const refused = await bittern([...OPTIONS, '--head', 'screened', '--repeat-penalty', '1.1'], {
      stdin: typed('Hi'),
    });
    expect(refused).toMatchObject({ code: 2, stdout: '' });
  });

  test('/clear forgets, and the system message stays', async () => {
    const argv = [...OPTIONS, '--system', 'Be brief.'];
    const { stdout } = await bittern(argv, { stdin: typed('Hi', '/clear', 'Hi') });
    const [first, second] = stdout.split('\n');
    expect(second).toBe(first);
    expect((await answers('Hi'))[0]).not.toBe(first);
  });

  test('each answer is drawn with a seed of its own, and all are repeatable', async () => {
    const argv = ['chat', '-n', '12', '--seed', '7'];
    const first = await bittern(argv, { stdin: typed('Hi', '/clear', 'Hi', 'Hi') });
    expect(await bittern(argv, { stdin: typed('Hi', '/clear', 'Hi', 'Hi') })).toEqual(first);
    const [one, two, three] = first.stdout.split('\n');
    expect(two).toBe(one);
    expect(three).not.toBe(one);
    expect((await bittern(['chat', '-n', '12', '--seed', '8'], { stdin: typed('Hi') })).stdout).not.toBe(`${one}\n`);
  });

  test('/stats counts, and says what was reused', async () => {
    const { stderr } = await bittern(OPTIONS, { stdin: typed('Hi', '/stats', 'Why?', '/stats') });
    const counts = [...stderr.matchAll(/prompts: (\d+) tokens in .*; (\d+) more were in the cache/g)];
    expect(counts).toHaveLength(2);
    expect(counts[0]![2]).toBe('0');
    expect(Number(counts[1]![2])).toBeGreaterThan(0);
    expect(stderr).toMatch(/4 messages, \d+ of 512 tokens in the context\n/);
    expect(stderr).toMatch(/answers: 24 tokens in .* tokens\/s\n/);
  });

  test('/help lists the commands, /exit leaves', async () => {
    const { code, stdout, stderr } = await bittern(OPTIONS, { stdin: typed('/help', '/exit', 'Hi') });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    for (const command of ['/help', '/clear', '/stats', '/save', '/load', '/exit']) expect(stderr).toContain(command);
  });
});

describe('what cannot be done is told, and the conversation goes on', () => {
  test.each([
    ['/hlep', 'There is no command /hlep'],
    ['/save', '/save needs the path'],
    ['/load', '/load needs the path'],
    ['/load no.json', 'no.json: no such file'],
    ['/save no/chat.json', 'no such file or folder'],
    ['/load .', 'is not a regular file'],
    ['a '.repeat(600), 'tokens do not fit'],
  ])('%s', async (line, message) => {
    const { code, stdout, stderr } = await bittern(OPTIONS, { stdin: typed(line, 'Hi') });
    expect(code).toBe(0);
    expect(stderr).toContain(message);
    expect(stdout).toBe(`${(await answers('Hi'))[0]}\n`);
  });

  test.each([
    ['{', 'not JSON'],
    ['[]', 'no "version": 1'],
    ['{"version":2,"messages":[]}', 'no "version": 1'],
    ['{"version":1}', 'no list "messages"'],
    ['{"version":1,"messages":[{"role":"user"}]}', 'message 0 has no'],
    ['{"version":1,"messages":[{"role":"root","content":""}]}', 'message 0 has no'],
    ['{"version":1,"messages":[null]}', 'message 0 has no'],
    [Buffer.from([0xff, 0xfe]), 'not UTF-8'],
  ])('a file that is no conversation: %s', async (content, message) => {
    const path = await fileOf(content, 'chat.json');
    const { code, stderr } = await bittern(OPTIONS, { stdin: typed(`/load ${path}`) });
    expect(code).toBe(0);
    expect(stderr).toContain(message);
  });
});

describe('Ctrl-C', () => {
  test('stops the answer, and not the program', async () => {
    let interrupt: (() => void) | undefined;
    let writes = 0;
    const { code, stdout, stderr } = await bittern(['chat', '--greedy', '-n', '400'], {
      stdin: typed('Hi', '/stats', '/clear', 'Hi'),
      onTake: (handler) => (interrupt = handler),
      onWrite() {
        writes += 1;
        if (writes === 3) interrupt!();
      },
    });
    expect(code).toBe(0);
    const [stopped, whole] = stdout.split('\n');
    expect(whole!.startsWith(stopped!)).toBe(true);
    expect(stopped!.length).toBeGreaterThan(0);
    expect(stopped!.length).toBeLessThan(whole!.length / 4);
    expect(stderr).toContain('2 messages');
  });

  test('at the prompt empties the line', async () => {
    let interrupt: (() => void) | undefined;
    async function* keys(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('Not this');
      await wait(50);
      interrupt!();
      yield Buffer.from('Hi\r');
    }
    const { code, stdout, stderr } = await bittern(OPTIONS, {
      stdin: keys(),
      isTerminal: true,
      onTake: (handler) => (interrupt = handler),
    });
    expect(code).toBe(0);
    expect(stderr).toContain('/exit or Ctrl-D leaves');
    expect(stdout).toBe(`${(await answers('Hi'))[0]}\n`);
  });

  test('of the program, while it loads, ends it', async () => {
    const { code, stdout } = await bittern(OPTIONS, { stdin: typed('Hi'), signal: AbortSignal.abort() });
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
  });
});

test('in a terminal a line can be edited, and a former one comes back', async () => {
  const [left, up, backspace] = ['\u001b[D', '\u001b[A', '\u007f'];
  async function* keys(): AsyncGenerator<Uint8Array> {
    for (const key of ['H', 'x', 'i', left, backspace, '\r']) yield Buffer.from(key);
    await wait(300);
    yield Buffer.from('/clear\r');
    await wait(50);
    yield Buffer.from(`${up}${up}\r`);
  }
  const { code, stdout, stderr } = await bittern(OPTIONS, { stdin: keys(), isTerminal: true });
  const [hi] = await answers('Hi');
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${hi}\n${hi}\n` });
  expect(stderr).toContain('> ');
});
