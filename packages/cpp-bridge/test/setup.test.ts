import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BridgeError } from '../src/errors.ts';
import { exportsFor, exportStatements } from '../src/setup/exports.ts';
import { exportStatement, type Shell } from '../src/setup/quote.ts';

/** Folders that people have, and some that nobody should. */
const PATHS: readonly string[] = [
  '/plain/path',
  '/with space/and  two',
  "/it's/'quoted'",
  "''",
  "'",
  '/double"quotes"',
  '/line\nbreak\n',
  '/carriage\rreturn\r\n',
  '/tab\there',
  '/$(touch pwned)/`touch pwned`/${HOME}/$HOME/$((1+1))',
  '/back\\slash\\',
  '\\',
  "\\'",
  '/trailing\\\\',
  '-leading-dash',
  '--',
  '~/home',
  '/ünïcode/日本語/🐦/e\u0301',
  '/typographic/‘quotes’‚and‛more“”„',
  '/semi;colon&and|pipe<>()[]{}',
  '/star*question?!bang!!^caret#hash',
  '/percent%PATH%%%',
  '/bell\u0007escape\u001b[31m\u007f',
  '/bidi\u202ereversed\u200b\ufeff',
  '; echo pwned; #',
  '$env:PATH; @{a=1}; @"',
  ' ',
  'x'.repeat(5000),
];

/** Any text that can stand in a variable. */
const TEXT = fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => !text.includes('\0'));
const NASTY = fc
  .array(fc.constantFrom("'", '"', '\\', '\n', '\r', '$', '(', ')', '`', ' ', ';', '!', '‘', '’', '%', 'a'), {
    maxLength: 20,
  })
  .map((parts) => parts.join(''));

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

/** Ends each value; no path has it. */
const END = '\u0001';

/** What a real shell writes; it is told nothing but the script, and may say nothing but the values. */
function runShell(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
  input?: string,
): readonly string[] {
  const { stdout, stderr, status } = spawnSync(file, args, {
    encoding: 'utf8',
    // SHLVL: bash takes a socket as its standard input for a login from afar, and reads its start-up files.
    env: { PATH: process.env.PATH, SHLVL: '2', HOME: '/nonexistent', ...env },
    ...(input !== undefined && { input }),
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout.endsWith(END)).toBe(true);
  return stdout.slice(0, -1).split(END);
}

describe.each(['sh', 'bash', 'dash', 'zsh', 'ksh', 'busybox'].filter(isOnPath))('run by the real %s', (shell) => {
  const args = shell === 'busybox' ? ['sh', '-c'] : ['-c'];
  const print = String.raw`printf '%s\001' "$BITTERN_TEST"`;

  test('every path arrives as it is, and nothing else happens', () => {
    const script = PATHS.map((path) => `${exportStatement('sh', 'BITTERN_TEST', path)}\n${print}`).join('\n');
    expect(runShell(shell, [...args, script], {})).toEqual(PATHS);
  });

  test('through eval "$(…)", as the help says, and into the environment of what it starts', () => {
    const node = "process.stdout.write(process.env.BITTERN_TEST + '\\u0001')";
    for (const path of PATHS.slice(0, 12)) {
      const statement = exportStatements('sh', { variables: { BITTERN_TEST: path }, leftOut: [] });
      const script = `eval "$(printf %s "$STATEMENT")"; ${print}`;
      expect(runShell(shell, [...args, script], { STATEMENT: statement })).toEqual([path]);
    }
    const script = `${exportStatement('sh', 'BITTERN_TEST', PATHS[9]!)}\n"$NODE" -e "$SCRIPT"`;
    expect(runShell(shell, [...args, script], { NODE: process.execPath, SCRIPT: node })).toEqual([PATHS[9]]);
  });

  test('any text', () => {
    const samples = [...fc.sample(TEXT, { numRuns: 100, seed: 1 }), ...fc.sample(NASTY, { numRuns: 100, seed: 2 })];
    // A lone surrogate is no text that a variable can have.
    const values = samples.map((text) => Buffer.from(text.replaceAll(END, '')).toString());
    const script = values.map((value) => `${exportStatement('sh', 'BITTERN_TEST', value)}\n${print}`).join('\n');
    expect(runShell(shell, [...args, script], {})).toEqual(values);
  });
});

describe.runIf(isOnPath('fish'))('run by the real fish', () => {
  test('every path arrives as it is, through source', () => {
    const print = String.raw`printf '%s\x01' $BITTERN_TEST`;
    const script = PATHS.map((path) => `${exportStatement('fish', 'BITTERN_TEST', path)}\n${print}\n`).join('');
    const args = ['--no-config', '-c', 'printf %s $SCRIPT | source'];
    expect(runShell('fish', args, { HOME: tmpdir(), LC_ALL: 'C.UTF-8', SCRIPT: script })).toEqual(PATHS);
  });
});

describe.runIf(isOnPath('pwsh'))('run by the real pwsh', () => {
  test('every path arrives as it is, line by line through Invoke-Expression', () => {
    const print = '[Console]::Out.Write($env:BITTERN_TEST + [char]1)';
    const lines = PATHS.map((path) => `${exportStatement('pwsh', 'BITTERN_TEST', path)}\n${print}`).join('\n');
    const script =
      '[Console]::OutputEncoding = [Console]::InputEncoding = [Text.UTF8Encoding]::new($false); ' +
      '[Console]::In.ReadToEnd() -split "`n" | Invoke-Expression';
    const args = ['-NoProfile', '-NonInteractive', '-Command', script];
    expect(runShell('pwsh', args, { HOME: tmpdir() }, lines)).toEqual(PATHS);
  });
});

/**
 * Readers of one statement, written from the shells' manuals: they stop at what ends a quoted string, so whatever would be run
 * after it shows as a failure.
 */
const READERS: Readonly<Record<Exclude<Shell, 'sh'>, (line: string) => string>> = {
  // fish, "Quotes": between single quotes, only \' and \\ are escapes.
  fish: (line) => {
    const [, quoted] = match(line, /^set -gx BITTERN_TEST '((?:[^'\\]|\\[^])*)'$/);
    return quoted!.replaceAll(/\\([^])/g, (escape, character: string) =>
      `'\\`.includes(character) ? character : escape,
    );
  },
  // about_Quoting_Rules: in a single-quoted string, two quotes are one; the tokenizer takes ‘ ’ ‚ ‛ for quotes too.
  pwsh: (line) => {
    const quoted = String.raw`'(?:[^'‘’‚‛\r\n]|'{2}|‘{2}|’{2}|‚{2}|‛{2})*'`;
    const part = String.raw`(?:${quoted}|\[char\](?:10|13))`;
    expect(line).toMatch(new RegExp(String.raw`^\$env:BITTERN_TEST = (?:${quoted}|\(${part}(?: \+ ${part})*\))$`));
    const parts = line.match(new RegExp(part, 'g'))!;
    return parts
      .map((text) => {
        if (text.startsWith('[char]')) return String.fromCharCode(Number(text.slice(6)));
        return text.slice(1, -1).replaceAll(/(['‘’‚‛])\1/g, '$1');
      })
      .join('');
  },
  // cmd, "set /?": between the quotes all is text; a batch file has %% for %.
  cmd: (line) => {
    const [, quoted] = match(line, /^set "BITTERN_TEST=((?:[ #$&-~]|%%)*)"$/);
    return quoted!.replaceAll('%%', '%');
  },
};

/** Why a shell cannot have the value. */
function refusalOf(shell: Shell, value: string): string | undefined {
  try {
    exportStatement(shell, 'BITTERN_TEST', value);
  } catch (error) {
    if (!(error instanceof BridgeError && error.code === 'BRIDGE_UNSUPPORTED')) throw error;
    return error.message;
  }
  return undefined;
}

/** The parts of a statement that a pattern has; fails with the statement where it is another. */
function match(statement: string, pattern: RegExp): RegExpExecArray {
  const found = pattern.exec(statement);
  if (found === null) throw new Error(`${statement} is not one statement`);
  return found;
}

describe('by the quoting rules of the manual, not run', () => {
  test.each(['fish', 'pwsh'] as const)('%s: every path is one string', (shell) => {
    for (const path of PATHS) expect(READERS[shell](exportStatement(shell, 'BITTERN_TEST', path))).toBe(path);
  });

  test.each(['fish', 'pwsh'] as const)('%s: any text is one string', (shell) => {
    fc.assert(
      fc.property(fc.oneof(TEXT, NASTY), (text) => {
        expect(READERS[shell](exportStatement(shell, 'BITTERN_TEST', text))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  test('pwsh: a statement is one line', () => {
    expect(exportStatement('pwsh', 'X', "a\nb'c\r")).toBe("$env:X = ('a' + [char]10 + 'b''c' + [char]13 + '')");
  });

  test('cmd: a path is one string, or refused', () => {
    const refusals = new Map(PATHS.map((path) => [path, refusalOf('cmd', path)]));
    const written = PATHS.filter((path) => refusals.get(path) === undefined);
    for (const path of written) expect(READERS.cmd(exportStatement('cmd', 'BITTERN_TEST', path))).toBe(path);
    for (const path of PATHS.filter((each) => !written.includes(each))) {
      expect(refusals.get(path)).toContain('which cannot be written safely for cmd. Use --emit pwsh or json');
    }
    expect(written).toContain('/percent%PATH%%%');
    expect(written).toContain('/semi;colon&and|pipe<>()[]{}');
    expect(written).toContain('/back\\slash\\');
    for (const refused of [
      '/double"quotes"',
      '/line\nbreak\n',
      '/ünïcode/日本語/🐦/e\u0301',
      '/star*question?!bang!!^caret#hash',
    ]) {
      expect(written).not.toContain(refused);
    }
  });

  test('a NUL character is refused, in every shell', () => {
    for (const shell of ['sh', 'fish', 'pwsh', 'cmd'] as const) {
      expect(() => exportStatement(shell, 'X', 'a\0b')).toThrow(
        expect.objectContaining({ code: 'BRIDGE_UNSUPPORTED' }),
      );
    }
  });

  test('a name that is none is a mistake of ours', () => {
    expect(() => exportStatement('sh', 'A=1; X', 'a')).toThrow(TypeError);
  });
});

describe('what is exported', () => {
  const references = [
    { backend: 'llama', folder: '/l', libraries: ['/l/build/bin/libllama.so', '/l/build/bin/libggml.so'] },
    { backend: 'bitnet', folder: '/b', libraries: ['/b/src/libllama.so', '/b/ggml/libggml.so'] },
  ] as const;

  test('folders, and theirs in front of the path of the loader', () => {
    expect(exportsFor(references, { LD_LIBRARY_PATH: '/old::/l/build/bin' })).toEqual({
      variables: {
        LLAMA_CPP_DIR: '/l',
        BITNET_CPP_DIR: '/b',
        LD_LIBRARY_PATH: '/l/build/bin:/b/src:/b/ggml:/old:',
      },
      leftOut: [],
    });
  });

  test('twice is the same as once', () => {
    const once = exportsFor(references, {}).variables;
    expect(exportsFor(references, once).variables).toEqual(once);
  });

  test('a folder that would be two in that path is left out, and told', () => {
    const { variables, leftOut } = exportsFor(
      [{ ...references[0], libraries: ['/a:b/libllama.so', '/c;d/libggml.so'] }],
      {},
    );
    expect(variables).toEqual({ LLAMA_CPP_DIR: '/l' });
    expect(leftOut).toEqual(['/a:b', '/c;d']);
  });

  test('one statement a line, in the way of the shell', () => {
    const exports = exportsFor([references[0]], {});
    expect(exportStatements('sh', exports)).toBe("export LLAMA_CPP_DIR='/l'\nexport LD_LIBRARY_PATH='/l/build/bin'\n");
    expect(exportStatements('fish', exports)).toBe(
      "set -gx LLAMA_CPP_DIR '/l'\nset -gx LD_LIBRARY_PATH '/l/build/bin'\n",
    );
    expect(exportStatements('pwsh', exports)).toBe(
      "$env:LLAMA_CPP_DIR = '/l'\n$env:LD_LIBRARY_PATH = '/l/build/bin'\n",
    );
    expect(exportStatements('cmd', exports)).toBe('set "LLAMA_CPP_DIR=/l"\r\nset "LD_LIBRARY_PATH=/l/build/bin"\r\n');
  });
});
