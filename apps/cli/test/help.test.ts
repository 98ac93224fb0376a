import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { EXIT_CODES, EXIT_CODES_HELP } from '../src/exit-codes.ts';
import type { Io } from '../src/io.ts';
import { createProgram } from '../src/main.ts';
import { bittern } from './support.ts';

/** For commands that are only looked at, or parsed. */
const IO: Io = {
  stdin: (async function* () {})(),
  isTerminal: false,
  stdout: { write: async () => {}, isTTY: false },
  stderr: { write() {}, isTTY: false },
  env: {},
  columns: 100,
  signal: new AbortController().signal,
  takeInterrupts: () => () => {},
};

function definitions(): Command {
  return createProgram(
    IO,
    () => {},
    () => {},
  );
}

/** Every command that help shows, with what leads to it. */
function commandsOf(command: Command, path: readonly string[] = []): { path: readonly string[]; command: Command }[] {
  const below = command.createHelp().visibleCommands(command);
  return [
    { path, command },
    ...below.filter((each) => each.name() !== 'help').flatMap((each) => commandsOf(each, [...path, each.name()])),
  ];
}

const COMMANDS = commandsOf(definitions()).map(({ path, command }) => ({
  name: ['bittern', ...path].join(' '),
  path,
  command,
}));

test('there are commands', () => {
  expect(COMMANDS.length).toBeGreaterThan(20);
  expect(COMMANDS.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['bittern crossval sweep', 'bittern benchmark', 'bittern verify-receipt']),
  );
});

describe.each(COMMANDS)('$name', ({ name, path, command }) => {
  test('--help says what for, how, and with which exit codes', async () => {
    const { code, stdout, stderr } = await bittern([...path, '--help']);
    expect({ code, stderr }).toEqual({ code: EXIT_CODES.success, stderr: '' });
    expect(stdout.startsWith(`Usage: ${name}`)).toBe(true);
    expect(command.description()).toMatch(/^[A-Z].+\.$/);
    expect(stdout).toContain(EXIT_CODES_HELP);
    const words = stdout.replaceAll(/\s+/g, ' ');
    for (const { description, flags, defaultValueDescription: byDefault } of command.options.filter(
      ({ hidden }) => !hidden,
    )) {
      expect({ flags, description }).toEqual({ flags, description: expect.stringMatching(/\S/) });
      expect(words).toContain(byDefault === undefined ? '' : `default: ${byDefault}`);
    }
  });

  test('every example of it is understood', async () => {
    const examples = examplesOf((await bittern([...path, '--help'])).stdout);
    expect(examples.length).toBeGreaterThan(0);
    expect(examples.filter((words) => name === 'bittern' || words.join(' ').startsWith(path.join(' ')))).not.toEqual(
      [],
    );
    for (const words of examples) expect({ words, problem: await problemWith(words) }).toEqual({ words, problem: '' });
  });

  test('an unknown option names the nearest', async () => {
    const known = command.options.map(({ long }) => long ?? '').filter((long) => long.length > 5);
    for (const flag of known) {
      const typo = `${flag.slice(0, -2)}${flag.at(-1)}${flag.at(-2)}`; // two letters exchanged
      if (known.includes(typo)) continue;
      const { code, stdout, stderr } = await bittern([...path, typo]);
      expect({ code, stdout }).toEqual({ code: EXIT_CODES.usage, stdout: '' });
      expect(stderr).toContain(`unknown option '${typo}'`);
      expect(stderr).toContain('(Did you mean');
      expect(stderr).toContain(flag);
    }
  });

  test('an unknown command names the nearest', async () => {
    for (const sub of command.commands) {
      if (sub.name() === 'complete' || command.registeredArguments.length > 0) continue;
      const typo = `${sub.name()}x`;
      const { code, stderr } = await bittern([...path, typo]);
      expect(code).toBe(EXIT_CODES.usage);
      // crossval, which runs without one, lists them.
      expect(stderr).toMatch(new RegExp(`\\(Did you mean ${sub.name()}\\?\\)|; it has .*\\b${sub.name()}\\b`));
    }
  });
});

test('a missing option is told only if nothing is misspelt', async () => {
  expect((await bittern(['run', '--promt', 'x'])).stderr).toContain('(Did you mean --prompt?)');
  expect((await bittern(['run', '--greedy'])).stderr).toContain("required option '-p, --prompt <text>' not specified");
});

/** Calls of bittern in the examples of a help text, as words. */
function examplesOf(help: string): string[][] {
  const [, examples = ''] = help.split(/^Examples:$/m);
  const lines = examples
    .split(/^Exit codes:$/m)[0]!
    .split('\n')
    .map((line) => line.replace(/ {2,}#.*$/, '').trim());
  return lines
    .flatMap((line) => line.split(/ (?:\||&&|>|<) |"\$\(|\)"$/))
    .filter((line) => line.startsWith('bittern '))
    .map((line) => [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => (a ?? b ?? c)!).slice(1));
}

/** What commander says against a command line, without running it. */
async function problemWith(words: readonly string[]): Promise<string> {
  let problem = '';
  const program = definitions();
  for (const { command } of commandsOf(program)) {
    command.configureOutput({ writeErr: (text) => (problem += text) });
    if (command.commands.length === 0 || command.name() === 'crossval') command.action(() => {});
  }
  await program.parseAsync(words, { from: 'user' }).catch((error: { exitCode?: number }) => {
    if (error.exitCode !== 0) problem ||= String(error);
  });
  return problem;
}
