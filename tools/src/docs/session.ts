import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a command printed, on stdout and stderr as they came, and how it ended. */
export interface Outcome {
  readonly output: string;
  readonly code: number;
}

export interface SessionOptions {
  /** Where it begins. */
  readonly folder: string;
  /** For files of the session alone. */
  readonly scratch: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs commands in one bash, in order, as a reader does: folders, functions and files of one are there for the next.
 *
 * @throws where the shell itself ends before the last of them
 */
export async function runSession(commands: readonly string[], options: SessionOptions): Promise<Outcome[]> {
  const { folder, scratch, env } = options;
  await mkdir(scratch, { recursive: true });
  const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const at = (index: number): string => quoted(join(scratch, String(index)));
  const script = commands.map(
    (command, index) => `eval ${quoted(command)} >${at(index)} 2>&1 </dev/null; echo $? >${at(index)}.code\n`,
  );
  const file = join(scratch, 'session.sh');
  await writeFile(file, script.join(''));
  await run('bash', ['--norc', '--noprofile', file], { cwd: folder, env, timeout: 600_000 });
  return Promise.all(
    commands.map(async (_, index) => ({
      output: await readFile(join(scratch, String(index)), 'utf8'),
      code: Number(await readFile(join(scratch, `${index}.code`), 'utf8')),
    })),
  );
}
