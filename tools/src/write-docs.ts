// Runs every command in the documents and writes what it printed below it: `pnpm docs:write`. With --check it changes
// nothing, and fails where a document is out of date or a command fails: `pnpm docs:check`. Paths choose documents.
//
// ```console  `$ command` and its output      ```sh  commands that must succeed
// A block that begins with "# Not run in CI: needs …." is only counted, and so is one that begins with "# Run in CI by TEST." or
// is a step of CI by itself.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { commandsOf, type DocumentCommand } from './docs/commands.ts';
import { type CommandDefinition, commandReference, thresholdsTable } from './docs/generated.ts';
import { fencesOf, fillGenerated } from './docs/markdown.ts';
import { normalize } from './docs/normalize.ts';
import { type Outcome, runSession } from './docs/session.ts';
import { ciScripts, isRunByCi } from './docs/ci-scripts.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const BIN = join(ROOT, 'apps/cli/dist/bin.js');
/** For a user who has installed bittern; all others begin in a clone. */
const INSTALLED: ReadonlySet<string> = new Set(['apps/cli/README.md']);

/** Variables on which what commands print depends. */
const CHANGES_OUTPUT = /^(?:BITNET_|LLAMA_|RAYON_|OMP_|NODE_OPTIONS|XDG_|COLUMNS|npm_|LC_|LANG)/i;

const counts = { documents: 0, run: 0, ci: 0, marked: 0 };
const started = performance.now();
const scratch = await mkdtemp(join(tmpdir(), 'bittern-docs-'));
try {
  const check = process.argv.includes('--check');
  const chosen = process.argv.slice(2).filter((argument) => argument !== '--check');
  const scripts = ciScripts(await readFile(join(ROOT, '.ci/run'), 'utf8'));
  const problems: string[] = [];
  for (const path of chosen.length > 0 ? chosen : documents()) {
    const before = await readFile(join(ROOT, path), 'utf8');
    const after = await writtenAnew(path, before, scripts, problems);
    counts.documents++;
    if (after === before) continue;
    if (!check) await writeFile(join(ROOT, path), after);
    else problems.push(`${path} is out of date; pnpm docs:write makes it\n${await difference(path, after)}`);
  }
  for (const problem of problems) console.error(problem);
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(
    `${counts.documents} documents: ${counts.run} commands run, ${counts.ci} in other steps of CI, ${counts.marked} marked; ${problems.length} problems, ${seconds} s`,
  );
  if (problems.length > 0 || counts.run === 0) process.exitCode = 1;
} finally {
  await rm(scratch, { recursive: true });
}

/** Every document that git knows, or would. */
function documents(): string[] {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return listed.trim().split('\n').toSorted();
}

/** A document with what its commands print now. */
async function writtenAnew(
  path: string,
  text: string,
  scripts: ReadonlySet<string>,
  problems: string[],
): Promise<string> {
  const filled = fillGenerated(text, path, generated);
  const lines = filled.split('\n');
  const commands = fencesOf(lines, path).flatMap((fence) =>
    commandsOf(lines, fence, path).map((command) => ({ ...command, end: fence.end })),
  );
  const isStep = ({ kind, text: command }: DocumentCommand): boolean =>
    kind === 'tested' || (kind !== 'marked' && isRunByCi(command, scripts));
  const toRun = commands.filter((command) => command.kind !== 'marked' && !isStep(command));
  for (const { line, by } of commands) {
    if (by !== undefined && !existsSync(join(ROOT, by))) problems.push(`${path}:${line}: there is no test ${by}.`);
  }
  counts.marked += commands.filter(({ kind }) => kind === 'marked').length;
  counts.run += toRun.length;
  counts.ci += commands.filter(isStep).length;
  if (toRun.length === 0) return filled;

  const { outcomes, paths } = await runAll(path, toRun);
  const outcomeOf = new Map<DocumentCommand, Outcome>(toRun.map((command, index) => [command, outcomes[index]!]));
  // From the last on, so that lines keep their numbers.
  for (const [index, command] of [...commands.entries()].toReversed()) {
    const outcome = outcomeOf.get(command);
    if (outcome === undefined) continue;
    if (command.kind === 'shown') {
      if (outcome.output.trim() === '') problems.push(`${path}:${command.line}: prints nothing\n$ ${command.text}`);
      const begin = command.line - 1 + command.text.split('\n').length;
      const next = commands[index + 1];
      const end = next !== undefined && next.end === command.end ? next.line - 1 : command.end;
      lines.splice(begin, end - begin, ...shown(outcome, paths, end !== command.end));
    } else if (outcome.code !== 0) {
      problems.push(`${path}:${command.line}: exit code ${outcome.code}\n$ ${command.text}\n${outcome.output}`);
    }
  }
  return lines.join('\n');
}

/** Output below a command; an empty line parts it from a command that follows. */
function shown({ output, code }: Outcome, paths: Paths, isFollowed: boolean): string[] {
  const text = normalize(output, paths);
  return [
    ...(text === '' ? [] : text.split('\n')),
    ...(code === 0 ? [] : [`(exit code ${code})`]),
    ...(isFollowed && (text !== '' || code !== 0) ? [''] : []),
  ];
}

type Paths = readonly (readonly [path: string, shown: string])[];

/** Runs the commands of a document in one session: an empty home, the Node and bittern of this workspace. */
async function runAll(
  path: string,
  commands: readonly DocumentCommand[],
): Promise<{ outcomes: Outcome[]; paths: Paths }> {
  const own = join(scratch, path.replaceAll('/', '_'));
  const [home, temporary, examples] = [join(own, 'home'), join(own, 'tmp'), join(own, 'examples')];
  for (const folder of [home, temporary, examples]) await mkdir(folder, { recursive: true });
  const installed = INSTALLED.has(path);
  if (installed) await prepareExamples(examples);
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !CHANGES_OUTPUT.test(name))),
    PATH: `${installed ? `${join(scratch, 'bin')}:` : ''}${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}`,
    HOME: home,
    TMPDIR: temporary,
    // Which registry, and what was downloaded, is the machine's.
    npm_config_cache: join(homedir(), '.npm'),
    npm_config_userconfig: join(homedir(), '.npmrc'),
  };
  const folder = installed ? examples : ROOT;
  const outcomes = await runSession(commands.map(({ text }) => text), { folder, scratch: join(own, 'outcomes'), env }); // prettier-ignore
  const paths = [[examples, '<folder>'], [temporary, '<tmp>'], [home, '<home>'], [ROOT, '<clone>']] as const; // prettier-ignore
  return { outcomes, paths };
}

/** What examples of an installed bittern find: the command, a model, its tokenizer. */
async function prepareExamples(folder: string): Promise<void> {
  const model = join(ROOT, 'packages/storyteller/model');
  await cp(join(model, 'storyteller.i2_s.gguf'), join(folder, 'model.gguf'));
  await cp(join(model, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  await mkdir(join(scratch, 'bin'), { recursive: true });
  await symlink(BIN, join(scratch, 'bin/bittern'));
}

function generated(name: string): string {
  if (name === 'thresholds') return thresholdsTable();
  if (name === 'commands') {
    const definitions = execFileSync(process.execPath, [BIN, 'complete', '--definitions'], { encoding: 'utf8' });
    return commandReference(JSON.parse(definitions) as CommandDefinition[]);
  }
  throw new Error(`Nothing generates "${name}". Known: thresholds, commands.`);
}

async function difference(path: string, after: string): Promise<string> {
  const file = join(scratch, 'after', path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, after);
  try {
    return execFileSync('git', ['diff', '--no-index', '--no-color', path, file], { cwd: ROOT, encoding: 'utf8' });
  } catch (error) {
    return (error as { stdout: string }).stdout; // git ends with 1 where there is a difference
  }
}
